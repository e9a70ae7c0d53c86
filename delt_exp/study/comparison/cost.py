"""What an arm cost, its score included."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from delt_exp.report.cost import scoring_cost, training_seconds


@dataclass(frozen=True)
class Cost:
    """Median cost of an arm over seeds, as if nothing had been shared with other arms; None: not recorded.

    Seconds are those of the computation, whenever and for whichever arm it happened. peak_bytes: the larger of the
    process's and the GPU's memory while scoring.
    """

    training_seconds: float
    training_flops: float
    scoring_seconds: float | None
    scoring_flops: float | None
    peak_bytes: float | None

    def total(self, unit: str) -> float | None:
        """Return training and scoring together, `unit` being seconds or flops."""
        scoring, training = getattr(self, f"scoring_{unit}"), getattr(self, f"training_{unit}")
        return None if scoring is None else scoring + training


def cost_of(records: Sequence[Mapping[str, Any]]) -> Cost:
    """Return what the runs of these records cost, median over runs."""
    costs = [scoring_cost(record) for record in records]
    return Cost(
        training_seconds=float(np.median([training_seconds(record) for record in records])),
        training_flops=float(np.median([record["training"]["flops"] for record in records])),
        scoring_seconds=_median([scoring.seconds for scoring in costs]),
        scoring_flops=_median([scoring.flops for scoring in costs]),
        peak_bytes=_median([scoring.peak_bytes for scoring in costs]),
    )


def scaled(value: float | None, unit: float) -> float | None:
    """Return a number in multiples of `unit`, None for None."""
    return None if value is None else value / unit


def _median(values: Sequence[float | None]) -> float | None:
    """Return the median; None where a value is not known."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if len(known) == len(values) else None
