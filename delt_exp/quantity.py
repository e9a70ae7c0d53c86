"""A number with its interval, and what a number means: its name, its unit and which direction is better."""

from dataclasses import dataclass
from typing import Literal

Direction = Literal["higher", "lower"]


@dataclass(frozen=True)
class Meaning:
    """What a score says: `name` for axes, `unit`, the direction that is better, and one explaining sentence."""

    name: str
    unit: str
    better: Direction
    explanation: str


@dataclass(frozen=True)
class Ranged:
    """A number with its interval, low to high; infinite ends where nothing is known."""

    value: float
    low: float
    high: float

    def shows(self, sign: float) -> bool:
        """Whether all of the interval lies on the side of `sign`; never for a sign of 0."""
        return (sign > 0 and self.low > 0) or (sign < 0 and self.high < 0)


class Below(float):
    """0, for something smaller than `limit`, as tables show it."""

    limit: float

    def __new__(cls, limit: float) -> "Below":
        """Return 0 that is shown as `< limit`."""
        found = super().__new__(cls, 0.0)
        found.limit = limit
        return found


def is_chance(accuracy: float, stderr: float | None) -> bool:
    """Return whether a share is not above 0.5 by more than its noise, two standard errors."""
    return accuracy - 2 * (stderr or 0.0) <= 0.5
