"""What a run's model, scores and selection cost, by its record; seconds of computation, whenever it happened."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from delt_exp.report.stages import SELECTION, TUNING, own_stage

Clock = Literal["build_seconds", "cpu_seconds"]
WALL: Final = "build_seconds"
CPU: Final = "cpu_seconds"  # of one process over its threads; unlike wall time it knows nothing of what else runs


class WorkCost(NamedTuple):
    """Cost of scores or of a selection, and of all that they were made with; None: not recorded.

    peak_bytes: the larger of the process's and the GPU's memory.
    """

    seconds: float | None
    flops: float | None
    peak_bytes: float | None


def training_seconds(record: Mapping[str, Any], clock: Clock = WALL) -> float | None:
    """Return the seconds of training the model of the run, other learning rates that were tried included."""
    model = own_stage(record, "model")
    tried = [stage for stage in record["stages"] if stage["role"] == TUNING]
    return _sum((stage["cost"] for stage in (model, *tried)), clock)


def training_flops(record: Mapping[str, Any]) -> float:
    """Return the operations of training, other learning rates that were tried included."""
    training = record["training"]
    return float(training["flops"] + training.get("protocol", {}).get("flops", 0.0))


def scoring_seconds(record: Mapping[str, Any], clock: Clock = WALL) -> float | None:
    """Return the seconds of scoring, models and annotations that the score was made with included."""
    used = own_stage(record, "scores")["cost"].get("used")
    return None if used is None else _sum(used.values(), clock)


def scoring_cost(record: Mapping[str, Any], clock: Clock = WALL) -> WorkCost:
    """Return what the scores of the run cost."""
    used = own_stage(record, "scores")["cost"].get("used")
    return WorkCost(scoring_seconds(record, clock), record["score"]["flops"], _peak_bytes(used or {}))


def selecting_cost(record: Mapping[str, Any], clock: Clock = WALL) -> WorkCost:
    """Return what the selection cost beyond what the scores were made with.

    Training runs between its rounds are included, and leaving near-duplicates out of the candidates.
    """
    paid = own_stage(record, "scores")["cost"].get("used", {})
    made = [stage for stage in record["stages"] if SELECTION in (stage["role"], stage.get("within"))]
    used = {name: cost for stage in made for name, cost in stage["cost"]["used"].items() if name not in paid}
    return WorkCost(_sum(used.values(), clock), record["selection"]["flops"], _peak_bytes(used))


def seconds_per_run(records: Sequence[Mapping[str, Any]]) -> float:
    """Return the mean seconds of computing a run, every stage counted once, whenever it was computed; NaN for none.

    The seconds that a run took say little: what it found in the store took none.
    """
    used: dict[str, float] = {}
    for stage in (stage for record in records for stage in record["stages"]):
        costs = stage["cost"].get("used", {f"{stage['stage']}/{stage.get('key')}": stage["cost"]})
        used |= {name: cost[WALL] for name, cost in costs.items()}
    return sum(used.values()) / len(records) if records else float("nan")


def _sum(costs: Iterable[Mapping[str, Any]], clock: Clock) -> float | None:
    """Return the seconds of all parts; None where CPU time does not tell the whole of one, as on a GPU."""
    found = []
    for cost in costs:
        seconds = cost.get(clock)
        if seconds is None or (clock == CPU and cost.get("cuda_peak_bytes")):
            return None
        found.append(seconds)
    return float(sum(found))


def _peak_bytes(used: Mapping[str, Mapping[str, Any]]) -> float | None:
    return max((float(max(cost["peak_bytes"], cost["cuda_peak_bytes"])) for cost in used.values()), default=None)
