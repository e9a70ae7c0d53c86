"""The states of a run, with the buffers of its optimizer, and derivatives through its updates.

Shapes: K buffers, G groups of the target, P parameters.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from delt_exp.files import digest
from delt_exp.model.optimizer import clipped_slope
from delt_exp.scorer.dvemb.steps import Costates, Steps
from delt_exp.scorer.reverse.trajectory import Descent, OnStep, Trajectory

CLIP_SLACK = 1e-6  # of torch's clip_grad_norm_


class RunStates(Trajectory):
    """The trajectory of the optimizer of `steps`, gradients clipped to `clip_norm` (None: not).

    A kept state is theta with the buffers, (1 + K, P); the sweep gets theta, and the buffers stay here.
    """

    def __init__(
        self, descent: Descent, rates: Sequence[float], is_whole: bool, cure: str, steps: Steps,
        clip_norm: float | None,
    ) -> None:  # fmt: skip
        super().__init__(descent, rates, is_whole, cure)
        self._steps, self._clip_norm = steps, clip_norm
        self._buffers_KP = descent.theta.new_zeros(steps.num_buffers, len(descent.theta))
        self._before: dict[int, Tensor] = {}  # buffers before each update of the segment
        self._after_KP = self._buffers_KP  # after the update that is pulled back next

    @property
    def num_buffers(self) -> int:
        return self._steps.num_buffers

    def rate(self, step: int) -> float:
        return self.rates[step]

    def fingerprint(self) -> str:
        """Identifies optimizer, learning rates and clipping."""
        settings = [v.cpu().numpy() if isinstance(v, Tensor) else v for v in vars(self._steps).values()]
        return digest(type(self._steps).__name__, *settings, list(self.rates), self._clip_norm)

    def drop(self, step: int, norm: float) -> float:
        """What update `step` takes off the loss of its batch to first order: lr times gradient times clipped gradient.

        NaN where buffers decide the step, too.
        """
        return math.nan if self.num_buffers else self.rates[step] * self.clip_factor(norm) * norm**2

    def clip_factor(self, norm: float) -> float:
        """By what clipping multiplies a gradient of this norm."""
        return 1.0 if self._clip_norm is None else min(1.0, self._clip_norm / (norm + CLIP_SLACK))

    def run_forward(self, num_steps: int, on_step: OnStep) -> None:
        super().run_forward(num_steps, on_step)
        self._after_KP = self._buffers_KP.clone()

    def return_to(self, num_steps: int) -> None:
        self.run_forward(min(num_steps, len(self.rates)), lambda step, loss, norm: None)

    def segment(self, index: int) -> list[Tensor]:
        states, first = super().segment(index), index * self.stride
        self._before = {first + place: state[1:] for place, state in enumerate(states)}
        return [state[0] for state in states]

    def pull_back(self, step: int, norm: float, after: Costates) -> tuple[Tensor, Costates]:
        """Derivatives in the gradient of update `step`, (G, P), and in theta and buffers before it; latest step first.

        The run stands at theta before the update. norm: of the gradient, not clipped.
        """
        before_KP, after_KP = self._before.pop(step).to(self._after_KP.device), self._after_KP
        gradient_GP, costates = self._steps.pull_back(step, self.rates[step], after, before_KP, after_KP)
        self._after_KP = before_KP
        factor = self.clip_factor(norm)
        if factor < 1:
            clipped_P = self._steps.gradient(before_KP, after_KP)
            if clipped_P is None:  # no buffer tells: take it once more
                clipped_P = self._descent.step_gradient(step)[1].mul_(factor)
            parts = [clipped_slope(part_P, clipped_P, norm, self._clip_norm) for part_P in gradient_GP]
            gradient_GP = torch.stack(parts)
        return gradient_GP, costates

    def _state(self) -> Tensor:
        return torch.cat([self._descent.theta[None], self._buffers_KP]).cpu()

    def _restore(self, state: Tensor) -> None:
        self._descent.theta = state[0]
        self._buffers_KP.copy_(state[1:])

    def _move(self, step: int, gradient: Tensor, norm: float) -> None:
        theta_P, factor = self._descent.theta, self.clip_factor(norm)
        clipped_P = gradient if factor == 1 else gradient.mul_(factor)
        self._steps.take(step, self.rates[step], theta_P, self._buffers_KP, clipped_P)
        self._descent.theta = theta_P
