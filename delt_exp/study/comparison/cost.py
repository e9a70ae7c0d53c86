"""What an arm cost, its score and its selection included."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from delt_exp.quantity import Below
from delt_exp.report.cost import (
    CPU,
    WALL,
    Clock,
    WorkCost,
    scoring_cost,
    selecting_cost,
    training_flops,
    training_seconds,
)


@dataclass(frozen=True)
class Cost:
    """Median cost of an arm over seeds, as if nothing had been shared with other arms; None: not recorded.

    Seconds are those of the computation, whenever and for whichever arm it happened, by `clock`. selecting: of
    selectors that read documents, 0 for others. peak_bytes: the larger of the process's and the GPU's memory while
    scoring and selecting. floor_seconds: fewer of scoring and selecting count as none; see `charge`.
    """

    training_seconds: float
    training_flops: float
    scoring_seconds: float | None
    scoring_flops: float | None
    selecting_seconds: float
    selecting_flops: float
    peak_bytes: float | None
    clock: Clock = WALL
    floor_seconds: float = 0.0

    @property
    def unit(self) -> str:
        """The unit of seconds, by their clock."""
        return "CPU s" if self.clock == CPU else "s"

    def total(self, unit: str) -> float | None:
        """Return scoring, selecting and training together, `unit` being seconds or flops."""
        choosing = self.choosing(unit)
        return None if choosing is None else float(choosing + getattr(self, f"training_{unit}"))

    def choosing(self, unit: str) -> float | None:
        """Return scoring and selecting together, `Below` where they are too few seconds to count."""
        scoring = getattr(self, f"scoring_{unit}")
        if scoring is None:
            return None
        found = float(scoring + getattr(self, f"selecting_{unit}"))
        return Below(self.floor_seconds) if unit == "seconds" and found < self.floor_seconds else found

    def seconds_in_words(self) -> str:
        """Return the seconds of scoring and selecting, and what they are of a training run; they must be known."""
        seconds = self.choosing("seconds")
        if isinstance(seconds, Below):
            share = 100 * seconds.limit / self.training_seconds
            return f"less than {seconds.limit:.2g} {self.unit}, under {share:.2g} % of a training run"
        times = (seconds or 0.0) / self.training_seconds
        return f"{seconds or 0.0:.3g} {self.unit}, as much as {times:.2g} training runs"


def cost_of(records: Sequence[Mapping[str, Any]]) -> Cost:
    """Return what the runs of these records cost, median over runs."""
    costs, selections = [scoring_cost(record) for record in records], [selecting_cost(record) for record in records]
    peaks = [_largest(*pair) for pair in zip(costs, selections, strict=True)]
    return Cost(
        training_seconds=median_known([training_seconds(record) for record in records]) or 0.0,
        training_flops=float(np.median([training_flops(record) for record in records])),
        scoring_seconds=median_known([scoring.seconds for scoring in costs]),
        scoring_flops=median_known([scoring.flops for scoring in costs]),
        selecting_seconds=median_known([selection.seconds for selection in selections]) or 0.0,
        selecting_flops=float(np.median([selection.flops for selection in selections])),
        peak_bytes=median_known(peaks),
    )


def scaled(value: float | None, unit: float) -> float | None:
    """Return a number in multiples of `unit`, None for None."""
    return None if value is None else value / unit


def _largest(*costs: WorkCost) -> float | None:
    return max((cost.peak_bytes for cost in costs if cost.peak_bytes is not None), default=None)


def median_known(values: Sequence[float | None]) -> float | None:
    """Return the median; None where a value is not known."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if len(known) == len(values) else None
