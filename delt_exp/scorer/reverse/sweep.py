"""Visits the states of a run from the last one that an update left to the first."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from delt_exp.scorer.reverse.trajectory import Descent

Progress = Callable[[str, int, int], None]
"""Called with a phase ("forward", "reverse": updates; "documents": gradients of this process), how much is done, how
much there is."""


class Segments(Protocol):
    """The states of a run, `stride` of them in a segment, the last segment perhaps fewer."""

    stride: int

    def segment(self, index: int) -> list[Tensor]:
        """The states of segment `index`, earliest first."""
        ...


def sweep_back(
    descent: Descent,
    states: Segments,
    num_segments: int,
    on_step: Callable[[int], None],
    on_segment: Callable[[int], None],
    progress: Progress,
) -> None:
    """Call `on_step(t)` with the run at theta_t, for every t of the first `num_segments` segments, latest first.

    `on_segment(i)` follows the last step of segment i: the place to save what a restart needs.
    """
    for index in reversed(range(num_segments)):
        kept = states.segment(index)
        while kept:
            descent.theta = kept.pop()
            step = index * states.stride + len(kept)
            on_step(step)
            progress("reverse", descent.num_steps - step, descent.num_steps)
        on_segment(index)
