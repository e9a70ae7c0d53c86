"""What an arm cost, its score and its selection included."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from delt_exp.report.cost import WorkCost, scoring_cost, selecting_cost, training_seconds


@dataclass(frozen=True)
class Cost:
    """Median cost of an arm over seeds, as if nothing had been shared with other arms; None: not recorded.

    Seconds are those of the computation, whenever and for whichever arm it happened. selecting: of selectors that read
    documents, 0 for others. peak_bytes: the larger of the process's and the GPU's memory while scoring and selecting.
    """

    training_seconds: float
    training_flops: float
    scoring_seconds: float | None
    scoring_flops: float | None
    selecting_seconds: float
    selecting_flops: float
    peak_bytes: float | None

    def total(self, unit: str) -> float | None:
        """Return scoring, selecting and training together, `unit` being seconds or flops."""
        choosing = self.choosing(unit)
        return None if choosing is None else float(choosing + getattr(self, f"training_{unit}"))

    def choosing(self, unit: str) -> float | None:
        """Return scoring and selecting together."""
        scoring = getattr(self, f"scoring_{unit}")
        return None if scoring is None else float(scoring + getattr(self, f"selecting_{unit}"))


def cost_of(records: Sequence[Mapping[str, Any]]) -> Cost:
    """Return what the runs of these records cost, median over runs."""
    costs, selections = [scoring_cost(record) for record in records], [selecting_cost(record) for record in records]
    peaks = [_largest(*pair) for pair in zip(costs, selections, strict=True)]
    return Cost(
        training_seconds=float(np.median([training_seconds(record) for record in records])),
        training_flops=float(np.median([record["training"]["flops"] for record in records])),
        scoring_seconds=_median([scoring.seconds for scoring in costs]),
        scoring_flops=_median([scoring.flops for scoring in costs]),
        selecting_seconds=float(np.median([selection.seconds for selection in selections])),
        selecting_flops=float(np.median([selection.flops for selection in selections])),
        peak_bytes=_median(peaks),
    )


def scaled(value: float | None, unit: float) -> float | None:
    """Return a number in multiples of `unit`, None for None."""
    return None if value is None else value / unit


def _largest(*costs: WorkCost) -> float | None:
    return max((cost.peak_bytes for cost in costs if cost.peak_bytes is not None), default=None)


def _median(values: Sequence[float | None]) -> float | None:
    """Return the median; None where a value is not known."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if len(known) == len(values) else None
