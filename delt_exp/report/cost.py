"""What a run's model, scores and selection cost, by its record; seconds of computation, whenever it happened."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from delt_exp.report.stages import SELECTION, TUNING, own_stage


class WorkCost(NamedTuple):
    """Cost of scores or of a selection, and of all that they were made with; None: not recorded.

    peak_bytes: the larger of the process's and the GPU's memory.
    """

    seconds: float | None
    flops: float | None
    peak_bytes: float | None


def training_seconds(record: Mapping[str, Any]) -> float:
    """Return the seconds of training the model of the run, other learning rates that were tried included."""
    return float(sum(cost["build_seconds"] for cost in training_stages(record)))


def training_stages(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the costs of training the model of the run and, where rates were tried, of those that were not used."""
    tried = [stage for stage in record["stages"] if stage["role"] == TUNING]
    return [stage["cost"] for stage in (own_stage(record, "model"), *tried)]


def training_flops(record: Mapping[str, Any]) -> float:
    """Return the operations of training, other learning rates that were tried included."""
    training = record["training"]
    return float(training["flops"] + training.get("protocol", {}).get("flops", 0.0))


def scoring_seconds(record: Mapping[str, Any]) -> float | None:
    """Return the seconds of scoring, models and annotations that the score was made with included."""
    used = own_stage(record, "scores")["cost"].get("used")
    return None if used is None else float(sum(stage["build_seconds"] for stage in used.values()))


def scoring_cost(record: Mapping[str, Any]) -> WorkCost:
    """Return what the scores of the run cost."""
    used = own_stage(record, "scores")["cost"].get("used")
    return WorkCost(scoring_seconds(record), record["score"]["flops"], _peak_bytes(used or {}))


def selecting_cost(record: Mapping[str, Any]) -> WorkCost:
    """Return what the selection cost beyond what the scores were made with, training runs between rounds included."""
    paid = own_stage(record, "scores")["cost"].get("used", {})
    made = [stage for stage in record["stages"] if stage["role"] == SELECTION]
    used = {name: cost for stage in made for name, cost in stage["cost"]["used"].items() if name not in paid}
    seconds = float(sum(cost["build_seconds"] for cost in used.values()))
    return WorkCost(seconds, record["selection"]["flops"], _peak_bytes(used))


def _peak_bytes(used: Mapping[str, Mapping[str, Any]]) -> float | None:
    return max((float(max(cost["peak_bytes"], cost["cuda_peak_bytes"])) for cost in used.values()), default=None)
