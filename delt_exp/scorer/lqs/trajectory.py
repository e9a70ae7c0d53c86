"""The states theta_0 ... theta_T of a run of plain gradient descent, kept whole or as checkpoints with replay."""

import math
from collections.abc import Callable

from torch import Tensor

from delt_exp.errors import DivergedError
from delt_exp.scorer.lqs.problem import Problem


def check_finite(what: str, value: float, lr: float) -> None:
    """Raise DivergedError when a number of the annotator's short training run is not finite."""
    if not math.isfinite(value):
        raise DivergedError(f"annotation diverged: {what} is {value}; lower scorer.base.lr ({lr:g})")


class Trajectory:
    """Runs forward once; then gives back the states segment by segment.

    A segment holds `stride` = floor(sqrt(T)) states, the last one perhaps fewer. Kept in host memory are all states
    (`is_whole`) or the first of each segment, from which `segment` repeats the same updates to the bit.
    """

    def __init__(self, problem: Problem, lr: float, is_whole: bool) -> None:
        self._problem, self._lr, self._is_whole = problem, lr, is_whole
        self.stride = math.isqrt(problem.num_steps)
        self.num_segments = math.ceil(problem.num_steps / self.stride)
        self.kind = "whole" if is_whole else "checkpoints"
        self._states: dict[int, Tensor] = {}

    def run_forward(self, num_steps: int, on_step: Callable[[int, float], None]) -> None:
        """Take the first `num_steps` updates from where the problem stands, and leave it at theta_`num_steps`.

        `on_step` gets the index and the loss of each update. Raises DivergedError where a number is not finite.
        """
        for step in range(num_steps):
            if self._is_whole or step % self.stride == 0:
                self._states[step] = self._problem.theta.cpu()
            on_step(step, self._descend(step))

    def segment(self, index: int) -> list[Tensor]:
        """The states of segment `index`, earliest first; they are no longer kept here afterwards."""
        start = index * self.stride
        stop = min(start + self.stride, self._problem.num_steps)
        if self._is_whole:
            return [self._states.pop(step) for step in range(start, stop)]
        states = [self._states.pop(start)]
        self._problem.theta = states[0]
        for step in range(start, stop - 1):
            self._descend(step)
            states.append(self._problem.theta.cpu())
        return states

    def _descend(self, step: int) -> float:
        loss, gradient = self._problem.step_gradient(step)
        check_finite(f"the training loss before update {step + 1}", loss, self._lr)
        check_finite(f"the norm of the gradient of update {step + 1}", gradient.norm().item(), self._lr)
        self._problem.theta = self._problem.theta.sub_(gradient, alpha=self._lr)
        return loss
