"""What an annotation gives back, and the four scores made of its terms.

Shapes: N documents, S scored steps (latest first), T updates.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from delt_exp.config.fields import checked
from delt_exp.errors import DataError
from delt_exp.files import written_aside
from delt_exp.scorer.lqs.settings import ScoreName


@dataclass(frozen=True)
class Annotation:
    """The terms of every document, float64 on the CPU; `scores` makes one number of them.

    For t in steps_S, dot_SN is <lambda_{t+1}, g_n(theta_t)>, norm_SN is ||g_n(theta_t)||, later_norm_SN the norm by
    which the step divides, costate_norm_S is ||lambda_{t+1}||. train_loss_T is taken before each update, target_loss_T
    after each. lr: of the updates. trajectory: "whole" or "checkpoints", as it was kept.
    """

    lr: float
    steps_S: Tensor
    dot_SN: Tensor
    norm_SN: Tensor
    later_norm_SN: Tensor
    costate_norm_S: Tensor
    train_loss_T: Tensor
    target_loss_T: Tensor
    trajectory: str

    @checked
    def contributions(self, score: ScoreName) -> Tensor:
        """What each scored step adds to each document's score, shape (S, N); 0/0, a sample without gradient, is 0.

        lqs: lr <lambda, g> / later norm. pds: lr <lambda, g>. learnability: norm / later norm. quality: cosine of
        lambda and g. Sources: DELT (arXiv 2506.21545), PDS (arXiv 2410.07064). Raises DataError naming the first
        document and step where it is no finite number.
        """
        if score == "pds":
            contribution_SN = self.lr * self.dot_SN
        elif score == "quality":
            contribution_SN = _ratio(self.dot_SN, self.norm_SN * self.costate_norm_S[:, None])
        else:
            contribution_SN = _ratio(self.lr * self.dot_SN if score == "lqs" else self.norm_SN, self.later_norm_SN)
        self._check_finite(contribution_SN)
        return contribution_SN

    def scores(self, score: ScoreName) -> Tensor:
        """The score of each document (N,), higher is better: `contributions` summed over the steps."""
        return self.contributions(score).sum(0)

    def save(self, path: Path) -> None:
        """Write one safetensors file aside and rename it."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
        with written_aside(path) as aside:
            save_file(tensors, aside, metadata={"lr": repr(self.lr), "trajectory": self.trajectory})

    @classmethod
    def load(cls, path: Path) -> "Annotation":
        """Read what `save` wrote."""
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        return cls(lr=float(metadata["lr"]), trajectory=metadata["trajectory"], **tensors)

    def _check_finite(self, contribution_SN: Tensor) -> None:
        bad = torch.nonzero(~torch.isfinite(contribution_SN))
        if len(bad):
            row, document = bad[0].tolist()
            raise DataError(
                f"document {document} has the contribution {contribution_SN[row, document].item()} at step "
                f"{int(self.steps_S[row])}: its gradient vanished later in training or the run diverged; lower "
                f"scorer.lr ({self.lr:g}) or leave the document out"
            )


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    is_zero = (numerator == 0) & (denominator == 0)
    return torch.where(is_zero, 0.0, numerator / denominator)
