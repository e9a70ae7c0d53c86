"""The points of every curve: one measure of one source, by share of the data, subset and seed."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from delt_exp.quantity import Direction
from delt_exp.report.stages import own_stage
from delt_exp.study.record import PlannedRun, StudyRecord

RATIO = "selector.ratio"


class Key(NamedTuple):
    """Which curve: the source trained on, how its subsets are drawn, the measure and its evaluation set.

    better: which direction of the measure is.
    """

    source: str
    subsets: str
    metric: str
    dataset: str
    better: Direction

    @property
    def measured(self) -> str:
        """Measure and evaluation set in words."""
        return f"{self.metric} on {self.dataset}"


class Point(NamedTuple):
    """The measure of a run, and its standard error over what it was evaluated on.

    training: key of the training run; equal accuracies do not make two runs one.
    """

    value: float
    stderr: float
    training: str


Curve = Mapping[float, Mapping[str, Point]]
"""share -> (subset and seed) -> point."""


def curves_of(study: StudyRecord, panel: str, metrics: Sequence[str]) -> dict[Key, dict[float, dict[str, Point]]]:
    """Return the points of every curve; `panel` is the dimension that names the source."""
    curves: dict[Key, dict[float, dict[str, Point]]] = {}
    for run in study.finished():
        for (metric, dataset, better), point in points_of(run, metrics).items():
            key = Key(run.arm[panel], run.arm["subsets"], metric, dataset, better)
            name = f"{run.arm['subset']} {run.seed}"
            curves.setdefault(key, {}).setdefault(float(run.arm[RATIO]), {})[name] = point
    return curves


def points_of(run: PlannedRun, metrics: Sequence[str]) -> dict[tuple[str, str, Direction], Point]:
    """Return (metric, evaluation set, which direction is better) -> point."""
    record = run.record() or {}
    training = own_stage(record, "model")["key"]
    return {
        (row["metric"], row["dataset"], row["better"]): Point(
            float(row["value"]), float(row["stderr"] or 0.0), training
        )
        for row in record["results"]
        if row["metric"] in metrics
    }


def num_shares(curve: Curve) -> int:
    """Return how many shares there are; 0 where no subset has all of them."""
    return len(curve) if set.intersection(*(set(points) for points in curve.values())) else 0


def distinct(points: Mapping[str, Point]) -> list[Point]:
    """Return the points without repetitions: subsets that are all of the data are one training run for each seed."""
    return list({point.training: point for point in points.values()}.values())
