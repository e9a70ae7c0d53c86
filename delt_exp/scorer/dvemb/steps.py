"""How an update follows from a gradient, and what that means backwards: one class for each optimizer.

An update turns theta, the optimizer's buffers and a gradient g into theta' and buffers'. `take` does it as torch.optim
does. J is the target's loss at the end of the run, as a function of all that goes on from there: `pull_back` gets its
derivatives in theta' and buffers', and gives those in g, theta and buffers. What g itself depends on, theta by the
curvature of the update's loss, is left to the sweep. Both optimizers work number by number, so that this costs next to
nothing, and it is exact: no derivative of the network enters.
Shapes: K buffers, G groups of the target, P parameters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from delt_exp.errors import ConfigError
from delt_exp.gradients.flat import trainable_parameters
from delt_exp.model.optimizer import SGD, AdamW, Optimizer


class Costates(NamedTuple):
    """Derivatives of J in theta, (G, P), and in the buffers, (K, G, P)."""

    theta_GP: Tensor
    buffers_KGP: Tensor


class Steps(Protocol):
    """The updates of one optimizer."""

    @property
    def num_buffers(self) -> int: ...

    def take(self, step: int, rate: float, theta_P: Tensor, buffers_KP: Tensor, gradient_P: Tensor) -> None:
        """Make update `step` (from 0) in place."""

    def pull_back(
        self, step: int, rate: float, after: Costates, buffers_KP: Tensor, after_KP: Tensor
    ) -> tuple[Tensor, Costates]:
        """Derivatives in the gradient of update `step`, (G, P), and in theta and buffers before it.

        buffers_KP, after_KP: before and after the update.
        """
        ...

    def gradient(self, buffers_KP: Tensor, after_KP: Tensor) -> Tensor | None:
        """The gradient that the update used, where the buffers tell."""
        ...


@dataclass(frozen=True, eq=False)
class SgdSteps:
    """b <- momentum b + g + decay theta; theta <- theta - rate b. Linear, so that derivatives need no state."""

    momentum: float
    decay_P: Tensor

    @property
    def num_buffers(self) -> int:
        return int(self.momentum > 0)

    def take(self, step: int, rate: float, theta_P: Tensor, buffers_KP: Tensor, gradient_P: Tensor) -> None:
        moved_P = gradient_P + self.decay_P * theta_P
        if self.num_buffers:
            moved_P = buffers_KP[0].mul_(self.momentum).add_(moved_P)
        theta_P.sub_(moved_P, alpha=rate)

    def pull_back(
        self, step: int, rate: float, after: Costates, buffers_KP: Tensor, after_KP: Tensor
    ) -> tuple[Tensor, Costates]:
        gradient_GP = after.buffers_KGP.sum(0).sub_(after.theta_GP, alpha=rate)
        buffers_KGP = self.momentum * gradient_GP.expand_as(after.buffers_KGP)
        return gradient_GP, Costates(after.theta_GP + self.decay_P * gradient_GP, buffers_KGP)

    def gradient(self, buffers_KP: Tensor, after_KP: Tensor) -> Tensor | None:
        return None


@dataclass(frozen=True, eq=False)
class AdamSteps:
    """AdamW. is_fixed: the preconditioner 1 / (sqrt(v^) + eps) of an update passes for a constant."""

    betas: Sequence[float]
    eps: float
    decay_P: Tensor
    is_fixed: bool
    num_buffers = 2

    def take(self, step: int, rate: float, theta_P: Tensor, buffers_KP: Tensor, gradient_P: Tensor) -> None:
        (m_P, v_P), (beta1, beta2) = buffers_KP, self.betas
        theta_P.mul_(1 - rate * self.decay_P)
        m_P.lerp_(gradient_P, 1 - beta1)
        v_P.mul_(beta2).addcmul_(gradient_P, gradient_P, value=1 - beta2)
        divisor_P = (v_P / (1 - beta2 ** (step + 1))).sqrt_().add_(self.eps)
        theta_P.addcdiv_(m_P, divisor_P, value=-rate / (1 - beta1 ** (step + 1)))

    def pull_back(
        self, step: int, rate: float, after: Costates, buffers_KP: Tensor, after_KP: Tensor
    ) -> tuple[Tensor, Costates]:
        (m_P, v_P), (beta1, beta2) = after_KP, self.betas
        scale, correction2 = rate / (1 - beta1 ** (step + 1)), 1 - beta2 ** (step + 1)
        root_P = (v_P / correction2).sqrt_()
        divisor_P = root_P + self.eps
        of_m_GP = after.buffers_KGP[0] - scale * after.theta_GP / divisor_P
        gradient_GP, of_v_GP = (1 - beta1) * of_m_GP, after.buffers_KGP[1]
        if not self.is_fixed:
            slope_P = scale * m_P / divisor_P.square() / (2 * correction2 * root_P)
            of_v_GP = of_v_GP + after.theta_GP * slope_P.where(root_P > 0, 0)  # 0: every gradient so far was 0
            gradient_GP += 2 * (1 - beta2) * self.gradient(buffers_KP, after_KP) * of_v_GP
        theta_GP = after.theta_GP * (1 - rate * self.decay_P)
        return gradient_GP, Costates(theta_GP, torch.stack([beta1 * of_m_GP, beta2 * of_v_GP]))

    def gradient(self, buffers_KP: Tensor, after_KP: Tensor) -> Tensor:
        return torch.sub(after_KP[0], buffers_KP[0], alpha=self.betas[0]).div_(1 - self.betas[0])


def steps_of(optimizer: Optimizer, model: nn.Module, *, is_fixed: bool) -> Steps:
    """The updates of `optimizer` on the trainable parameters of `model`; raises ConfigError for an unknown one."""
    if isinstance(optimizer, SGD):
        return SgdSteps(optimizer.momentum, _decay(model, optimizer.weight_decay))
    if isinstance(optimizer, AdamW):
        return AdamSteps(optimizer.betas, optimizer.eps, _decay(model, optimizer.weight_decay), is_fixed)
    raise ConfigError(f"the derivative of an update by {type(optimizer).__name__} is not known; use SGD or AdamW")


def _decay(model: nn.Module, weight_decay: float) -> Tensor:
    """The decay of every element: that of matrices alone, as the optimizers have it."""
    parameters = trainable_parameters(model).values()
    return torch.cat([p.new_full((p.numel(),), weight_decay if p.ndim > 1 else 0.0) for p in parameters]).detach()
