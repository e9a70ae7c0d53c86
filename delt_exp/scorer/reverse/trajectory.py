"""The states theta_0 ... theta_T of a run, kept whole or as checkpoints with replay."""

import math
import os
from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor

from delt_exp.distributed.ranks import Ranks, all_agree
from delt_exp.errors import DivergedError
from delt_exp.scorer.reverse.counts import StateCounts

_MEMORY_SHARE = 0.5  # of the free host memory may go to a trajectory kept whole

OnStep = Callable[[int, float, float], None]
"""Called with the index of an update, its loss and the norm of its gradient."""


class Descent(Protocol):
    """A run that follows gradients; theta, one flat vector, is where it stands."""

    num_steps: int
    theta: Tensor

    def step_gradient(self, step: int) -> tuple[float, Tensor]:
        """Loss and gradient of the batch of update `step` (theta_step -> theta_step+1)."""
        ...


def check_finite(what: str, value: float, cure: str) -> None:
    """Raise DivergedError, which ends in `cure`, when a number of the training run is not finite."""
    if not math.isfinite(value):
        raise DivergedError(f"the training run of the scorer diverged: {what} is {value}; {cure}")


class Trajectory:
    """Runs plain gradient descent forward once; then gives back the states segment by segment.

    rates: the learning rate of each update. cure: what helps when numbers are no longer finite. A segment holds
    `stride` = floor(sqrt(T)) states, the last one perhaps fewer. Kept in host memory are all states (`is_whole`) or the
    first of each segment, from which `segment` repeats the same updates to the bit.
    """

    def __init__(self, descent: Descent, rates: Sequence[float], is_whole: bool, cure: str) -> None:
        self.rates = rates
        self._descent, self._is_whole, self._cure = descent, is_whole, cure
        counts = StateCounts(descent.num_steps, is_whole)
        self.stride, self.num_segments = counts.stride, counts.num_segments
        self.kind = "whole" if is_whole else "checkpoints"
        self._states: dict[int, Tensor] = {}

    def run_forward(self, num_steps: int, on_step: OnStep) -> None:
        """Take the first `num_steps` updates from where the run stands, and leave it at theta_`num_steps`.

        Raises DivergedError where a number is not finite.
        """
        for step in range(num_steps):
            if self._is_whole or step % self.stride == 0:
                self._states[step] = self._state()
            on_step(step, *self._descend(step))

    def segment(self, index: int) -> list[Tensor]:
        """The states of segment `index`, earliest first; they are no longer kept here afterwards."""
        start = index * self.stride
        stop = min(start + self.stride, self._descent.num_steps)
        if self._is_whole:
            return [self._states.pop(step) for step in range(start, stop)]
        states = [self._states.pop(start)]
        self._restore(states[0])
        for step in range(start, stop - 1):
            self._descend(step)
            states.append(self._state())
        return states

    def _descend(self, step: int) -> tuple[float, float]:
        loss, gradient = self._descent.step_gradient(step)
        norm = gradient.norm().item()
        check_finite(f"the training loss before update {step + 1}", loss, self._cure)
        check_finite(f"the norm of the gradient of update {step + 1}", norm, self._cure)
        self._move(step, gradient, norm)
        return loss, norm

    def _state(self) -> Tensor:
        """A copy of where the run stands, on the host."""
        return self._descent.theta.cpu()

    def _restore(self, state: Tensor) -> None:
        self._descent.theta = state

    def _move(self, step: int, gradient: Tensor, norm: float) -> None:
        self._descent.theta = self._descent.theta.sub_(gradient, alpha=self.rates[step])


def fits_whole_everywhere(theta: Tensor, num_steps: int, ranks: Ranks) -> bool:
    """Whether the states of a run fit the memory that is free; decided alike on all processes of a machine."""
    fits = fits_whole(num_steps, theta.numel() * theta.element_size(), ranks.world_size)
    return all_agree(ranks, fits, theta.device)


def fits_whole(num_steps: int, state_bytes: int, num_processes: int) -> bool:
    """Whether every state of a run would be kept in the memory that is free now."""
    return num_steps * state_bytes * num_processes <= _MEMORY_SHARE * _free_bytes()


def _free_bytes() -> int:
    """Host memory that nobody uses; where the system does not tell, all of it."""
    name = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
    return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE")
