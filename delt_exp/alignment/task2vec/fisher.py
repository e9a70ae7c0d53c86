"""Task2Vec embedding of a batch of texts: the filter-wise diagonal Fisher of a probe whose head was tuned on them.

Source: Achille et al. 2019 (arXiv 1902.03545); for language models Lee et al. (arXiv 2306.13840, 2501.08496). With
tokens x and labels y_t drawn from p(. | x_<=t), the embedding is the mean over the weights of each filter of

    F_w = E_x E_t E_y [(d log p(y_t | x_<=t) / dw)^2].

Given x, labels at different positions are independent and their scores g_t have mean 0, so E[(sum_t g_t)^2] =
sum_t E[g_t^2]. One backward pass of a whole sequence, squared and divided by its number of predicted tokens, is
therefore an unbiased estimate of the token mean. Shapes: B sequences, T positions, N positions without padding, D
features.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModelForCausalLM

from delt_exp.alignment.task2vec.filters import Body, filter_squares, filters_of
from delt_exp.alignment.task2vec.head import Head, Tuning, linear_head, split_network
from delt_exp.pretrained.loading import load_config

# Numbers of features that are kept while a head is tuned: 1 GB, 2700 documents of 128 tokens under GPT-2. More are
# computed again in every epoch, which costs a forward pass each, so that a whole text can be one batch.
MOST_FEATURES = 2**28


@dataclass(frozen=True, eq=False)
class Passage:
    """The beginning of a document: its token ids, and a number in [0, 1) for each label that is drawn on it."""

    ids: NDArray[np.int64]
    uniform: NDArray[np.float32]


@dataclass(frozen=True)
class FisherSettings:
    """context_tokens: predictions of a passage. embeddings: whether lookup tables belong to the embedding.

    batch_passages: in one pass, changes no result.
    """

    context_tokens: int
    tuning: Tuning
    embeddings: bool
    batch_passages: int


def fisher_embedding(
    network: Any, passages: Sequence[Passage], ends: tuple[int, int], settings: FisherSettings
) -> NDArray[np.float32]:
    """Return the embedding of a batch, [filters] float32; `network` is in evaluation mode and stays as it is.

    ends: the ids before and after a document; the second where the context has room for it.
    """
    body, original_head = split_network(network)
    filters = filters_of(network, original_head, embeddings=settings.embeddings)
    device, head = original_head.weight.device, Head(original_head)
    batches = _batches(passages, ends, settings, device)
    features = _Features(body, batches, original_head.in_features)
    with torch.no_grad():
        head.tune(features, [labels for batch in batches for labels in batch.labels], settings.tuning)
    totals = torch.zeros(sum(map(len, filters)), dtype=torch.float64, device=device)
    with requiring_only(network, [f.weight for f in filters]):
        for number, batch in enumerate(batches):
            features_ND = features.of_pass(number)
            delta_BTD = features_ND.new_zeros(*batch.inputs_BT.shape, features_ND.shape[1])
            with torch.no_grad():
                delta_BTD[batch.is_read_BT] = head.scores(features_ND, batch.uniform_N)
            totals += torch.cat(filter_squares(body, network, filters, batch.inputs_BT, delta_BTD))
    num_tokens = sum(len(batch.uniform_N) for batch in batches)
    return (totals / num_tokens).float().cpu().numpy()


def embedding_width(name: str, revision: str | None, *, embeddings: bool) -> int:
    """Return how many numbers an embedding has under a model; reads its configuration alone, not its weights.

    Raises ConfigError for a model without a linear head.
    """
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(load_config(name, revision))
    return sum(map(len, filters_of(network, linear_head(network), embeddings=embeddings)))


@dataclass(frozen=True, eq=False)
class _Batch:
    """Right-padded inputs, which of them are no padding, and what belongs to those: next tokens and numbers in [0, 1).

    After the end of a causal model's sequence, padding changes nothing before it: there is no attention mask.
    """

    inputs_BT: Tensor
    is_read_BT: Tensor
    labels: list[Tensor]
    uniform_N: Tensor

    def split(self, rows_ND: Tensor) -> Sequence[Tensor]:
        """Return the rows of each document."""
        return rows_ND.split([len(labels) for labels in self.labels])


def _batches(
    passages: Sequence[Passage], ends: tuple[int, int], settings: FisherSettings, device: torch.device
) -> list[_Batch]:
    size = settings.batch_passages
    parts = (passages[start : start + size] for start in range(0, len(passages), size))
    return [_batch(part, ends, settings.context_tokens, device) for part in parts]


def _batch(passages: Sequence[Passage], ends: tuple[int, int], context_tokens: int, device: torch.device) -> _Batch:
    begin_id, eos_id = ends
    whole = [np.concatenate([[begin_id], p.ids, [eos_id]])[: context_tokens + 1] for p in passages]
    width = max(map(len, whole)) - 1
    surplus = int(width == len(whole) > 1)  # samples are told from positions by their number
    inputs_BT = torch.full((len(whole) + surplus, width), eos_id)
    lengths_B = torch.tensor([len(ids) - 1 for ids in whole] + [0] * surplus)
    for row, ids in enumerate(whole):
        inputs_BT[row, : len(ids) - 1] = torch.from_numpy(ids[:-1])
    uniform_N = np.concatenate([p.uniform[: len(ids) - 1] for p, ids in zip(passages, whole, strict=True)])
    is_read_BT = torch.arange(width)[None] < lengths_B[:, None]
    labels = [torch.from_numpy(ids[1:]).to(device) for ids in whole]
    return _Batch(inputs_BT.to(device), is_read_BT.to(device), labels, torch.from_numpy(uniform_N).to(device))


class _Features(Sequence[Tensor]):
    """Last hidden states of each document, (N, D). Few are kept; many are computed again whenever they are wanted."""

    def __init__(self, body: Body, batches: Sequence[_Batch], width: int) -> None:
        self._batches = batches
        self._places = [(number, row) for number, batch in enumerate(batches) for row in range(len(batch.labels))]
        is_small = sum(len(batch.uniform_N) for batch in batches) * width <= MOST_FEATURES
        # A step of the tuning can begin in one pass and end in the next.
        # Nothing in here knows this object: a circle of references would keep its features until there are many such.
        self.of_pass = lru_cache(None if is_small else 2)(lambda number: _hidden_states(body, batches[number]))

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, chosen: Any) -> Any:
        if isinstance(chosen, slice):
            return [self[document] for document in range(*chosen.indices(len(self)))]
        number, row = self._places[chosen]
        return self._batches[number].split(self.of_pass(number))[row]


def _hidden_states(body: Body, batch: _Batch) -> Tensor:
    with torch.no_grad():
        return body(batch.inputs_BT)[batch.is_read_BT]


@contextmanager
def requiring_only(network: Any, parameters: Sequence[Tensor]) -> Iterator[None]:
    """Inside, only these parameters require gradients; afterwards as before."""
    before = [(p, p.requires_grad) for p in network.parameters()]
    network.requires_grad_(False)
    for p in parameters:
        p.requires_grad_(True)
    try:
        yield
    finally:
        for p, required in before:
            p.requires_grad_(required)
