"""What a run's model and scores cost, read from its record; seconds of the computation, whenever it happened."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from delt_exp.report.stages import own_stage


class ScoringCost(NamedTuple):
    """Cost of the scores and of all that they were made with; None: not recorded.

    peak_bytes: the larger of the process's and the GPU's memory.
    """

    seconds: float | None
    flops: float | None
    peak_bytes: float | None


def training_seconds(record: Mapping[str, Any]) -> float:
    """Return the seconds of training the model of the run."""
    return float(own_stage(record, "model")["cost"]["build_seconds"])


def scoring_seconds(record: Mapping[str, Any]) -> float | None:
    """Return the seconds of scoring, models and annotations that the score was made with included."""
    used = own_stage(record, "scores")["cost"].get("used")
    return None if used is None else float(sum(stage["build_seconds"] for stage in used.values()))


def scoring_cost(record: Mapping[str, Any]) -> ScoringCost:
    """Return what the scores of the run cost."""
    flops, used = record["score"]["flops"], own_stage(record, "scores")["cost"].get("used")
    peaks = [float(max(stage["peak_bytes"], stage["cuda_peak_bytes"])) for stage in (used or {}).values()]
    return ScoringCost(scoring_seconds(record), flops, max(peaks, default=None))
