"""Loss of every document under a causal LM: the number behind perplexity scores and evaluation.

A document is read after the begin token of its tokenizer. One longer than the context is read in consecutive
windows that do not overlap, so that every token of its text is predicted exactly once; a prompt, and what no assistant
wrote, is only read.
W windows of a batch, T positions.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from delt_exp.corpus.tokens import IGNORED, Tokens
from delt_exp.model.objective import CrossEntropy
from delt_exp.progress import track
from delt_exp.runtime import Runtime


@dataclass(frozen=True, eq=False)
class TokenLoss:
    """Per document: sum of the losses of its text tokens [nats], and how many they are."""

    sum_nats: NDArray[np.float64]  # [N]
    num_tokens: NDArray[np.int64]  # [N]

    @property
    def mean_nats(self) -> NDArray[np.float64]:
        """[N] mean loss of each document, in nats per token."""
        return self.sum_nats / self.num_tokens


def token_loss(network: Any, tokens: Tokens, context_tokens: int, runtime: Runtime, name: str) -> TokenLoss:
    """Return the loss of every document of `tokens` under `network`, in evaluation mode and float32.

    Windows of similar length share a batch of at most `runtime.tokens_per_pass()` padded tokens; the result does not
    depend on which, beyond rounding.
    """
    device = torch.device(runtime.torch_device())
    network = network.to(device).eval()
    sums = np.zeros(len(tokens), np.float64)
    rows, starts = _windows(tokens, context_tokens)
    with torch.inference_mode(), track(name, len(rows), "windows") as task:
        for chosen in _batches(tokens, rows, starts, context_tokens, runtime.tokens_per_pass()):
            inputs_WT, labels_WT = _pad([_window(tokens, rows[i], starts[i], context_tokens) for i in chosen])
            losses = CrossEntropy().losses(network, {"input_ids": inputs_WT.to(device), "labels": labels_WT.to(device)})
            np.add.at(sums, rows[chosen], losses.cpu().numpy())
            task.advance(len(chosen))
    return TokenLoss(sums, tokens.num_predicted)


def _windows(tokens: Tokens, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (row, first predicted position) of every window of every document."""
    counts = -(-tokens.lengths // size)
    rows = np.repeat(np.arange(len(tokens)), counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    return rows, (np.arange(len(rows)) - first) * size


def _batches(
    tokens: Tokens, rows: NDArray[np.int64], starts: NDArray[np.int64], size: int, batch_tokens: int
) -> Iterator[NDArray[np.intp]]:
    lengths = np.minimum(tokens.lengths[rows] - starts, size)
    longest_first = np.argsort(-lengths, kind="stable")
    begin = 0
    while begin < len(longest_first):
        count = max(1, batch_tokens // int(lengths[longest_first[begin]]))
        yield longest_first[begin : begin + count]
        begin += count


def _window(tokens: Tokens, row: int, start: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Inputs and labels that predict positions [start, start+size) of a document."""
    ids = tokens.document(row, max(start - 1, 0), start + size).astype(np.int64)
    labels = ids if start == 0 else ids[1:]
    inputs = np.concatenate([[tokens.begin_id], ids[:-1]]) if start == 0 else ids[:-1]
    return inputs, np.where(tokens.predicted(row, start, start + size), labels, IGNORED)


def _pad(windows: list[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(len(inputs) for inputs, _ in windows)
    inputs_WT, labels_WT = np.zeros((len(windows), width), np.int64), np.full((len(windows), width), IGNORED)
    for row, (inputs, labels) in enumerate(windows):
        inputs_WT[row, : len(inputs)], labels_WT[row, : len(labels)] = inputs, labels
    return torch.from_numpy(inputs_WT), torch.from_numpy(labels_WT)
