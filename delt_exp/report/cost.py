"""What a run's model and scores cost, read from its record; seconds of the computation, whenever it happened."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class ScoringCost(NamedTuple):
    """Cost of the scores and of all that they were made with; None: not recorded.

    peak_bytes: the larger of the process's and the GPU's memory.
    """

    seconds: float | None
    flops: float | None
    peak_bytes: float | None


def own_stage(record: Mapping[str, Any], stage: str) -> Mapping[str, Any]:
    """Return the stage of this kind that is the run's own, and not of a model or score that it was made with."""
    found: Mapping[str, Any] = [one for one in record["stages"] if one["stage"] == stage][-1]
    return found


def training_seconds(record: Mapping[str, Any]) -> float:
    """Return the seconds of training the model of the run."""
    return float(own_stage(record, "model")["cost"]["build_seconds"])


def scoring_cost(record: Mapping[str, Any]) -> ScoringCost:
    """Return what the scores of the run cost."""
    used, score = own_stage(record, "scores")["cost"].get("used"), record["score"]
    flops = score.get("flops")
    if flops is None and score.get("phases") is not None:
        flops = float(sum(phase["flops"] for phase in score["phases"].values()))
    if used is None:
        return ScoringCost(None, flops, None)
    seconds = float(sum(stage["build_seconds"] for stage in used.values()))
    peaks = [float(max(stage.get("peak_bytes", 0), stage.get("cuda_peak_bytes", 0))) for stage in used.values()]
    return ScoringCost(seconds, flops, max(peaks))
