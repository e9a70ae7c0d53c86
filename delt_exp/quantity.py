"""What a number means: its name, its unit and which direction is better."""

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
