"""Token sequences with labels, and padded micro-batches of them.

Shapes: T positions of one sample.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from delt_exp.corpus.tokens import IGNORED
from delt_exp.errors import DataError
from delt_exp.files import digest


@dataclass(frozen=True, eq=False)
class Sample:
    """Input tokens and the token to predict at each of them (IGNORED: none), two int64 vectors of one length T >= 1.

    position_ids_T: where they begin again at 0, a document begins that sees nothing before it; None: one document.
    """

    input_ids_T: Tensor
    labels_T: Tensor
    position_ids_T: Tensor | None = None

    def __post_init__(self) -> None:
        if self.input_ids_T.shape != self.labels_T.shape or self.input_ids_T.dim() != 1 or not len(self.input_ids_T):
            raise DataError(
                f"a sample has inputs of shape {tuple(self.input_ids_T.shape)} and labels of shape "
                f"{tuple(self.labels_T.shape)}; both must be vectors of the same length, at least 1"
            )

    def digest(self) -> str:
        """Identifies the content: equal samples have equal digests."""
        positions = [] if self.position_ids_T is None else [self.position_ids_T.numpy()]
        return digest(self.input_ids_T.numpy(), self.labels_T.numpy(), *positions)


def next_token_sample(token_ids: Sequence[int]) -> Sample:
    """Every token but the last predicts the next one; a document of one token has nothing to predict, so gradient 0."""
    ids = torch.as_tensor(token_ids, dtype=torch.int64)
    if len(ids) == 1:
        return Sample(ids, torch.full_like(ids, IGNORED))
    return Sample(ids[:-1], ids[1:])


def micro_batches(
    samples: Sequence[Sample], indices: Sequence[int], size: int, device: torch.device
) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
    """Right-padded batches of at most `size` samples, each with the indices it holds.

    There is no attention mask: after the end of a causal model's sample, padding changes nothing before it.
    """
    for start in range(0, len(indices), size):
        chunk = list(indices[start : start + size])
        yield chunk, _padded([samples[i] for i in chunk], device)


def by_length(samples: Sequence[Sample]) -> list[int]:
    """Indices of the samples, longest first, so that a batch holds like lengths and memory runs out at once if ever."""
    return sorted(range(len(samples)), key=lambda i: -len(samples[i].input_ids_T))


def _padded(samples: Sequence[Sample], device: torch.device) -> dict[str, Tensor]:
    length = max(len(sample.input_ids_T) for sample in samples)
    input_ids_BT = torch.zeros(len(samples), length, dtype=torch.int64)
    labels_BT = torch.full_like(input_ids_BT, IGNORED)
    for row, sample in enumerate(samples):
        input_ids_BT[row, : len(sample.input_ids_T)] = sample.input_ids_T
        labels_BT[row, : len(sample.labels_T)] = sample.labels_T
    batch = {"input_ids": input_ids_BT.to(device), "labels": labels_BT.to(device)}
    if any(sample.position_ids_T is not None for sample in samples):
        batch["position_ids"] = _positions(samples, length).to(device)
    return batch


def _positions(samples: Sequence[Sample], length: int) -> Tensor:
    position_ids_BT = torch.zeros(len(samples), length, dtype=torch.int64)
    for row, sample in enumerate(samples):
        positions_T = torch.arange(length) if sample.position_ids_T is None else sample.position_ids_T
        position_ids_BT[row, : len(positions_T)] = positions_T
    return position_ids_BT
