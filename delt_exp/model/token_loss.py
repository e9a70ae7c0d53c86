"""Loss of every document under a causal LM: the number behind perplexity scores and evaluation.

A document is read after the begin token of its tokenizer. One longer than the context is read in consecutive
windows that do not overlap, so that every token of its text is predicted exactly once; a prompt, and what no assistant
wrote, is only read.
W windows of a batch, T positions, V vocabulary.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from delt_exp.corpus.tokens import IGNORED, Tokens
from delt_exp.progress import track
from delt_exp.runtime import Runtime


@dataclass(frozen=True, eq=False)
class TokenLoss:
    """Per document: sum of the losses of its text tokens [nats], and how many they are."""

    sum_nats: NDArray[np.float64]  # [D]
    num_tokens: NDArray[np.int64]  # [D]

    @property
    def mean_nats(self) -> NDArray[np.float64]:
        """[D] mean loss of each document, in nats per token."""
        return self.sum_nats / self.num_tokens


def token_loss(
    network: Any, tokens: Tokens, context_tokens: int, runtime: Runtime, name: str, rows: NDArray[np.intp] | None = None
) -> TokenLoss:
    """Return the loss of the documents `rows` [D] of `tokens`, all by default, in evaluation mode and float32.

    Windows of similar length share a batch of at most `runtime.tokens_per_pass()` padded tokens; the result does not
    depend on which, beyond rounding.
    """
    device = torch.device(runtime.torch_device())
    network = network.to(device).eval()
    rows = np.arange(len(tokens)) if rows is None else rows
    sums_D = np.zeros(len(rows), np.float64)
    documents, starts = _windows(tokens.lengths[rows], context_tokens)
    with torch.inference_mode(), track(name, len(documents), "windows") as task:
        for chosen in _batches(tokens, rows[documents], starts, context_tokens, runtime.tokens_per_pass()):
            windows = [_window(tokens, rows[documents[i]], starts[i], context_tokens) for i in chosen]
            inputs_WT, labels_WT = _pad(windows)
            losses = _summed_losses(network, inputs_WT.to(device), labels_WT.to(device))
            np.add.at(sums_D, documents[chosen], losses.double().cpu().numpy())
            task.advance(len(chosen))
    return TokenLoss(sums_D, tokens.num_predicted[rows])


def _summed_losses(network: Any, inputs_WT: torch.Tensor, labels_WT: torch.Tensor) -> torch.Tensor:
    logits_WTV = network(input_ids=inputs_WT, use_cache=False).logits
    losses_WT = cross_entropy(
        logits_WTV.float().flatten(0, 1), labels_WT.flatten(), ignore_index=IGNORED, reduction="none"
    ).view(labels_WT.shape)
    return losses_WT.double().sum(1)


def _windows(lengths_D: NDArray[np.int64], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (which document, first predicted position) of every window of every document."""
    counts = -(-lengths_D // size)
    documents = np.repeat(np.arange(len(lengths_D)), counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    return documents, (np.arange(len(documents)) - first) * size


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
