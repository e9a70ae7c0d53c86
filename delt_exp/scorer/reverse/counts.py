"""How many states of a run are kept; imports no torch, so that a forecast can ask."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class StateCounts:
    """Of a run of `num_steps` updates whose states are kept whole, or as the first state of each segment.

    Segments of sqrt(T) states keep what is held at once, one state of each segment and all of one, near its least.
    """

    num_steps: int
    is_whole: bool

    @property
    def stride(self) -> int:
        """States of a segment; the last one may have fewer."""
        return math.isqrt(self.num_steps)

    @property
    def num_segments(self) -> int:
        return math.ceil(self.num_steps / self.stride)

    @property
    def num_held(self) -> int:
        """How many states are held at once at most."""
        return self.num_steps if self.is_whole else self.num_segments + self.stride

    @property
    def num_replayed(self) -> int:
        """How many updates are computed a second time."""
        return 0 if self.is_whole else self.num_steps - self.num_segments
