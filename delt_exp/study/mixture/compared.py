"""Mixtures that were trained on, compared by their objective: the weighted loss on held-out documents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from delt_exp.mixture.runs import DIMENSION, DRAWN, losses_by_set, mixture_rows
from delt_exp.quantity import Ranged
from delt_exp.report.findings import Cell, Figure, Table
from delt_exp.statistics.paired import MetricArm
from delt_exp.study.figures import colour
from delt_exp.study.forest import dots
from delt_exp.study.record import PlannedRun, StudyRecord

UNIT = "nats/token"


@dataclass(frozen=True)
class Arm:
    """The runs on one mixture, and their objective, by seed."""

    name: str
    runs: Mapping[int, PlannedRun]
    values: Mapping[int, float]

    @property
    def mean(self) -> float:
        """Mean of the objective over seeds."""
        return float(np.mean(list(self.values.values())))

    def on(self, seeds: Sequence[int]) -> MetricArm:
        """Return the objective on some of its seeds, at least two."""
        return MetricArm(self.name, tuple(seeds), np.array([self.values[seed] for seed in seeds]), "lower", UNIT)

    def cell(self, alpha: float) -> Ranged | float:
        """Return the mean with its t-interval over seeds, where there are two."""
        if len(self.values) < 2:
            return self.mean
        estimate = self.on(sorted(self.values)).estimate
        return Ranged(estimate.value, *estimate.interval(alpha))


def read_arms(study: StudyRecord, objective: Mapping[str, float]) -> list[Arm]:
    """Return the finished mixtures but the drawn ones, the lowest objective first."""
    by_name: dict[str, dict[int, PlannedRun]] = {}
    for run in study.finished():
        if run.arm[DIMENSION] != DRAWN:
            by_name.setdefault(run.arm[DIMENSION], {})[run.seed] = run
    arms = []
    for name, runs in by_name.items():
        values = {seed: weighted(losses_by_set(run, list(objective)), objective) for seed, run in runs.items()}
        arms.append(Arm(name, runs, values))
    return sorted(arms, key=lambda arm: arm.mean)


def weighted(losses: Mapping[str, float], objective: Mapping[str, float]) -> float:
    """Return the mean of losses by the weights of an objective, which need not sum to 1."""
    return sum(weight * losses[name] for name, weight in objective.items()) / sum(objective.values())


def arms_table(arms: Sequence[Arm], alpha: float) -> Table:
    """Return the objective of each mixture."""
    rows: list[Sequence[Cell]] = [
        [
            arm.name,
            arm.cell(alpha),
            max(row["epochs"] for run in arm.runs.values() for row in mixture_rows(run)),
            len(arm.runs),
        ]
        for arm in arms
    ]
    note = (
        "The weighted loss on held-out documents that no law has seen, lower is better, with t-intervals over seeds, "
        "each of which mixes a random half of the candidates; all seeds have the same held-out documents. Most epochs: "
        "how often any source was read."
    )
    columns = ["mixture", f"objective [{UNIT}]", "most epochs", "seeds"]
    return Table("mixtures", "The objective of each mixture", note, columns, rows)


def trained_table(arms: Sequence[Arm]) -> Table:
    """Return what each mixture was trained on."""
    rows: list[list[Cell]] = []
    for arm in arms:
        by_seed = [mixture_rows(run) for run in arm.runs.values()]
        for parts in zip(*by_seed, strict=True):
            trained = [row["trained"] for row in parts]
            natural, epochs = (float(np.mean([row[key] for row in parts])) for key in ("natural", "epochs"))
            source, mean = parts[0]["source"], float(np.mean(trained))
            rows.append([arm.name, source, natural, mean, min(trained), max(trained), epochs])
    note = (
        "Shares of the predicted tokens, means over seeds with the least and the most, and how often sources were read."
    )
    columns = ["mixture", "source", "natural share", "trained share", "least", "most", "epochs"]
    return Table("trained", "What each mixture was trained on", note, columns, rows, folded=True)


def arms_figure(arms: Sequence[Arm], alpha: float) -> Figure:
    """Return the objective of each mixture with its interval, and of each run."""
    cells = {arm.name: arm.cell(alpha) for arm in arms}
    ranged = {name: cell if isinstance(cell, Ranged) else Ranged(cell, cell, cell) for name, cell in cells.items()}
    lowest = arms[0].mean
    plot = dots({"mean": ranged}, list(ranged), f"objective [{UNIT}]", {"mean": set(ranged)}, at_least=(lowest, lowest))
    points = [(value, arm.name, f"seed {seed}") for arm in arms for seed, value in sorted(arm.values.items())]
    x, y, texts = zip(*points, strict=True)
    look = {"color": colour(1), "size": 8, "symbol": "line-ns-open"}
    plot.add_trace(go.Scatter(name="run", x=x, y=y, hovertext=texts, mode="markers", marker=look))
    note = (
        "Lower is better; t-intervals over seeds, and each run as a stroke. Runs of one seed share what the seed "
        "decides: compare differences."
    )
    return Figure("mixtures", "The objective of each mixture", note, plot.to_plotly_json())
