"""Rows of the result table, and measurements that are taken in pairs."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One measured number beside its aim.

    against: what the number is compared with. detail: how it was measured. at_least, below: the aim, or neither.
    """

    what: str
    against: str
    value: float
    unit: str
    detail: str
    at_least: float | None = None
    below: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None where there is none."""
        if self.at_least is not None:
            return self.value >= self.at_least
        return self.value < self.below if self.below is not None else None

    def cells(self) -> list[str]:
        """Return the row as text, in the order of HEADER."""
        aim = f">= {self.at_least:g}" if self.at_least is not None else f"< {self.below:g}" if self.below else "-"
        met = {True: "yes", False: "NO", None: "-"}[self.met]
        return [self.what, self.against, f"{self.value:.3g} {self.unit}", aim, met, self.detail]

    def as_dict(self) -> dict[str, Any]:
        """Return fields and verdict for a JSON file."""
        return {**asdict(self), "met": self.met}


HEADER = ("what", "against", "measured", "aim", "met", "how")


def markdown_line(cells: Sequence[str]) -> str:
    """Return one line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def alternate(num_repeats: int, *sides: Callable[[], float]) -> list[list[float]]:
    """Return the numbers of each side, measured in turns: forwards, then backwards, so that a drift hits all alike."""
    values: list[list[float]] = [[] for _ in sides]
    for repeat in range(num_repeats):
        turn = list(enumerate(sides))
        for i, side in turn if repeat % 2 == 0 else reversed(turn):
            values[i].append(side())
    return values


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios of paired measurements."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def spread(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Return smallest and largest ratio, to show the noise."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return f"{len(ratios)} pairs, ratios {min(ratios):.2f} to {max(ratios):.2f}"
