"""What an annotation gives back, and the four scores made of its terms.

Shapes: N proxies, S scored steps (latest first), T updates.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from delt_exp.errors import DataError


@dataclass(frozen=True)
class Annotation:
    """Scores of the proxies, higher is better, and the terms they are made of; float64 on the CPU.

    For t in steps_S, dot_SN is <lambda_{t+1}, g_n(theta_t)>, norm_SN is ||g_n(theta_t)||, later_norm_SN the norm by
    which the step divides, costate_norm_S is ||lambda_{t+1}||; contribution_SN sums over S to scores_N. train_loss_T is
    taken before each update, target_loss_T after each. trajectory: "whole" or "checkpoints", as it was kept.
    """

    scores_N: Tensor
    steps_S: list[int]
    dot_SN: Tensor
    norm_SN: Tensor
    later_norm_SN: Tensor
    costate_norm_S: Tensor
    contribution_SN: Tensor
    train_loss_T: Tensor
    target_loss_T: Tensor
    trajectory: str


def contributions(
    score: str, lr: float, dot_SN: Tensor, norm_SN: Tensor, later_norm_SN: Tensor, costate_norm_S: Tensor
) -> Tensor:
    """What each scored step adds to each proxy's score, shape (S, N); 0/0, a sample without gradient, is 0.

    lqs: lr <lambda, g> / later norm. pds: lr <lambda, g>. learnability: norm / later norm. quality: cosine of lambda
    and g. Sources: DELT (arXiv 2506.21545), PDS (arXiv 2410.07064).
    """
    if score == "pds":
        return lr * dot_SN
    if score == "quality":
        return _ratio(dot_SN, norm_SN * costate_norm_S[:, None])
    return _ratio(lr * dot_SN if score == "lqs" else norm_SN, later_norm_SN)


def check_finite(contribution_SN: Tensor, steps_S: list[int]) -> None:
    """Raise DataError naming the first proxy and step with a contribution that is no finite number."""
    bad = torch.nonzero(~torch.isfinite(contribution_SN))
    if len(bad):
        row, proxy = bad[0].tolist()
        raise DataError(
            f"proxy {proxy} has the contribution {contribution_SN[row, proxy].item()} at step {steps_S[row]}: its "
            "gradient vanished later in training or the run diverged; use a smaller lr or leave the proxy out"
        )


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    is_zero = (numerator == 0) & (denominator == 0)
    return torch.where(is_zero, 0.0, numerator / denominator)
