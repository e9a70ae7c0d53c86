"""A target as directions: for each group of shots the mean of their unit gradients.

The mean over shots of cosines with a document is the product of the document's unit Gamma with the mean of the shots'
unit gradients. So a group is one direction however many shots it has, and a known target needs neither a projection nor
the gradient of any shot: each is built in the sum alone, by a backward pass weighted with the inverse norms.

B shots of a batch, R rows of each, S groups, P trainable parameters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from delt_exp.corpus.tokens import IGNORED, Tokens
from delt_exp.corpus.windows import Windowing, windows_of
from delt_exp.errors import DataError
from delt_exp.files import file_sha256, written_aside
from delt_exp.gradients.flat import trainable_parameters
from delt_exp.gradients.kernel import per_sample_norms
from delt_exp.gradients.products import add_gradient
from delt_exp.gradients.signed_rows import ROW_WEIGHTS, SignedRows
from delt_exp.model.batch import Batch
from delt_exp.model.objective import CrossEntropy
from delt_exp.progress import track
from delt_exp.scorer.influence.judge import DIRECTIONS, READS


class Shots(Protocol):
    """The samples that stand for a target, each of `rows_per_sample` rows with weights in `batch["row_weights"]`."""

    @property
    def rows_per_sample(self) -> int: ...

    @property
    def groups(self) -> Mapping[str, NDArray[np.intp]]:
        """The shots of each group, by its name."""

    def sizes(self, shots: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return [B] the tokens of the longest row of each shot."""

    def batch(self, shots: NDArray[np.intp]) -> Batch:
        """Return the rows of these shots, those of a shot one after the other; its loss is their weighted sum."""

    def name(self, shot: int) -> str:
        """Return what to call a shot in a message."""

    def scales(self, network: nn.Module, batch: Batch, norm_B: Tensor) -> Tensor:
        """Return [B] the factor of each shot's gradient in the mean of its group, its norm known."""

    @property
    def sum_is_normalised(self) -> bool:
        """Whether the mean of a group is made a unit vector, instead of the gradients in it."""


def inverse(norm_B: Tensor) -> Tensor:
    """1 / norm, and 0 for what has no gradient, whose cosine with everything is 0."""
    return torch.where(norm_B > 0, 1 / norm_B, 0)


def directions(
    network: nn.Module, shots: Shots, tokens_per_pass: int, step: int, autocast_dtype: torch.dtype | None = None
) -> Tensor:
    """The direction of each group, (S, P) on the device of the network.

    step: of the checkpoint, for messages. Raises DataError for a shot whose gradient is not finite.
    """
    parameters = list(trainable_parameters(network).values())
    objective = SignedRows(CrossEntropy(), shots.rows_per_sample)
    total_SP = parameters[0].new_zeros(len(shots.groups), sum(p.numel() for p in parameters))
    passes = [
        (total_P, len(members), chosen)
        for total_P, members in zip(total_SP, shots.groups.values(), strict=True)
        for chosen in _passes(shots, members, tokens_per_pass)
    ]
    with track(f"target, step {step}", sum(len(chosen) for _, _, chosen in passes), "shots") as task:
        for total_P, num_shots, chosen in passes:
            batch = {key: value.to(total_P.device) for key, value in shots.batch(chosen).items()}
            norm_B = per_sample_norms(network, batch, objective, autocast_dtype)
            if not bool(norm_B.isfinite().all()):
                name = shots.name(int(chosen[int((~norm_B.isfinite()).nonzero()[0])]))
                raise DataError(
                    f"{name} of the target has a gradient that is not finite at the checkpoint of step {step}; leave "
                    "it out, or lower scorer.warm_up.optimizer.lr: the warm-up run may have diverged"
                )
            scale_B = shots.scales(network, batch, norm_B) / num_shots
            batch[ROW_WEIGHTS] = batch[ROW_WEIGHTS] * scale_B.repeat_interleave(shots.rows_per_sample)
            add_gradient(network, batch, objective, 1, total_P, autocast_dtype)
            task.advance(len(chosen))
    return total_SP * inverse(total_SP.norm(dim=1, keepdim=True)) if shots.sum_is_normalised else total_SP


def _passes(shots: Shots, members: NDArray[np.intp], tokens_per_pass: int) -> Sequence[NDArray[np.intp]]:
    """Return shots of similar length together, the longest first."""
    sizes = shots.sizes(members)
    longest_first = np.argsort(-sizes, kind="stable")
    per_pass = max(1, tokens_per_pass // (int(sizes.max()) * shots.rows_per_sample))
    return np.split(members[longest_first], range(per_pass, len(members), per_pass))


def save_directions(direction_SP: Tensor, path: Path) -> str:
    """Write the file that an `InfluenceJudge` reads; returns the hash of its content."""
    with written_aside(path) as aside:
        save_file({DIRECTIONS: direction_SP.cpu()}, aside)
    return file_sha256(path)


@dataclass(frozen=True, eq=False)
class DocumentShots:
    """The beginnings of target documents; the loss of a shot is its mean token loss."""

    rows_per_sample: ClassVar[int] = 1
    tokens: Tokens
    rows: NDArray[np.intp]
    groups: Mapping[str, NDArray[np.intp]]  # positions in `rows`
    context_tokens: int

    @property
    def _windowing(self) -> Windowing:
        return Windowing(READS, self.context_tokens)

    def sizes(self, shots: NDArray[np.intp]) -> NDArray[np.int64]:
        return self._windowing.sizes(self.tokens.lengths[self.rows[shots]])

    def batch(self, shots: NDArray[np.intp]) -> Batch:
        windows = windows_of(self.tokens, self.rows[shots], self._windowing)
        batch = windows.batch(np.arange(len(shots)))
        ids_BT, labels_BT = torch.from_numpy(batch.ids_WT), torch.from_numpy(batch.labels_WT)
        count_B = (labels_BT != IGNORED).sum(1)
        return {"input_ids": ids_BT, "labels": labels_BT, ROW_WEIGHTS: 1 / count_B.double()}

    def name(self, shot: int) -> str:
        return f"document {self.rows[shot]} (id {int(self.tokens.ids[self.rows[shot]]):016x})"

    def scales(self, network: nn.Module, batch: Batch, norm_B: Tensor) -> Tensor:
        return inverse(norm_B)

    @property
    def sum_is_normalised(self) -> bool:
        return False
