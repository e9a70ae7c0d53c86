"""The finished runs of a study as arms: runs that differ in their seed alone."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from delt_exp.errors import ConfigError, DataError
from delt_exp.progress import say
from delt_exp.report.numbers import listed
from delt_exp.statistics.families import Comparison
from delt_exp.study.comparison.cost import Cost, cost_of
from delt_exp.study.comparison.outcomes import LOSS, Measured, Outcome, common_sets, mean_of, measured, outcome
from delt_exp.study.record import PlannedRun, StudyRecord

NAMED = 5  # arms in a remark; of more, only their number is given
DRAW = "draw"  # the dimension whose choices are repeated draws of one arm, which are averaged, not arms
Labels = tuple[tuple[str, str], ...]
Group = Mapping[int, Sequence[PlannedRun]]
"""The runs of one arm by seed, every draw."""


@dataclass(frozen=True, eq=False)
class Arm:
    """labels: what was chosen, by dimension, without the panel; runs: by seed, ascending, the first of several draws.

    charge: what it is charged in a comparison, see `charge`; None for its own measured cost.
    """

    labels: Mapping[str, str]
    runs: Mapping[int, PlannedRun]
    outcome: Outcome
    charge: Cost | None = None

    @property
    def name(self) -> str:
        """The choices, joined."""
        return self.outcome.name

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """The records of the runs, by seed."""
        return [record for run in self.runs.values() if (record := run.record()) is not None]

    @cached_property
    def cost(self) -> Cost:
        """What the arm cost, as it is charged."""
        return self.charge or cost_of(self.records)

    @property
    def tokens(self) -> float:
        """Predicted tokens of training, mean over seeds."""
        return float(np.mean([record["training"]["tokens"] for record in self.records]))

    @property
    def batch_tokens(self) -> int:
        """Most tokens that a batch can predict; a budget ends with a full batch, so arms of one differ by less."""
        model = self.records[0]["config"]["model"]
        return int(model["batch_items"] * model["context_tokens"])

    def choice(self, group: str) -> str:
        """Return what was chosen in a config group: the label where the study varies the group."""
        return self.labels.get(group) or str(self.records[0]["choices"][group])

    def has(self, labels: Mapping[str, str]) -> bool:
        """Whether these are among the labels."""
        return labels.items() <= self.labels.items()

    def without(self, *dimensions: str) -> str:
        """Return the choices in all other dimensions, joined."""
        return " · ".join(label for dimension, label in self.labels.items() if dimension not in dimensions)


@dataclass(frozen=True, eq=False)
class Panel:
    """Arms that are compared with each other, and the comparisons that the study was made for.

    baseline: the conventional arm, None while it is not finished. arms: all of its training budget, itself included.
    longer: arms like the baseline with a larger budget. remarks: what is missing or not compared. placebos: labels of
    scorers without information. planned: comparisons by the names of the two arms. at_equal_cost: of each arm with the
    baseline trained for the same total seconds, by the name of the arm.
    """

    name: str
    baseline: Arm | None
    arms: Sequence[Arm]
    longer: Sequence[Arm]
    remarks: Sequence[str]
    placebos: Sequence[str]
    planned: Mapping[tuple[str, str], Comparison] = field(default_factory=dict)
    at_equal_cost: Mapping[str, Comparison] = field(default_factory=dict)

    def like(self, arm: Arm, **changed: str) -> Arm | None:
        """Return the arm of the same labels but for those changed; None where there is none."""
        labels = {**arm.labels, **changed}
        return next((other for other in self.arms if other.labels == labels), None)

    def is_placebo(self, arm: Arm) -> bool:
        """Whether the study gave the arm a score without information."""
        return arm.labels.get("scorer") in self.placebos

    def in_usual_order(self, arm: Arm) -> Arm | None:
        """Return the arm with the baseline's order; None without one, or where orders are not varied."""
        usual = self.baseline.labels.get("orderer") if self.baseline else None
        return self.like(arm, orderer=usual) if usual is not None else None

    def between(self, arm: Arm, other: Arm | None) -> Comparison | None:
        """Return the planned comparison of two arms; None where there is none."""
        return self.planned.get((arm.name, other.name)) if other else None

    def against_baseline(self, arm: Arm) -> Comparison | None:
        """Return the planned comparison with the baseline; None for the baseline, or without one."""
        return self.between(arm, self.baseline)

    def unfinished_placebos(self, arm: Arm, planned: Collection[frozenset[tuple[str, str]]]) -> list[str]:
        """Return the placebos that an arm is not compared with yet; planned: `planned_arms` of this panel."""
        if self.is_placebo(arm):
            return []
        there = self.against_placebos(arm)
        same = {name: {**arm.labels, "scorer": name} for name in self.placebos if name not in there}
        return [name for name, labels in same.items() if frozenset(labels.items()) in planned]

    def against_placebos(self, arm: Arm) -> dict[str, Comparison]:
        """Return the planned comparisons with the same arm under each placebo, by placebo."""
        if self.is_placebo(arm):
            return {}
        found = {placebo: self.between(arm, self.like(arm, scorer=placebo)) for placebo in self.placebos}
        return {placebo: pair for placebo, pair in found.items() if pair is not None}

    @cached_property
    def ranked(self) -> list[Arm]:
        """The arms, best first: by the difference from the baseline over common seeds, else by the value."""

        def worth(arm: Arm) -> tuple[float, str]:
            turn = -1 if arm.outcome.better == "higher" else 1
            pair = self.against_baseline(arm)
            base = self.baseline.outcome.estimate.value if self.baseline else 0.0
            value = base + pair.estimate.value if pair else arm.outcome.estimate.value
            return turn * value, arm.name

        return sorted(self.arms, key=worth)


def read_panels(
    study: StudyRecord, dimension: str | None, metric: str, baseline: Mapping[str, str], placebos: Sequence[str]
) -> list[Panel]:
    """Return the arms of the finished runs, panel by panel, nothing compared yet.

    dimension: of the panels; None for a single one without a name. A run that the study lists twice counts under its
    first name. Runs that differ in the dimension `draw` alone are averaged, seed by seed, so that the baseline can be
    less noisy than an arm. Raises ConfigError for a dimension that a slice does not vary, DataError for runs without
    the metric or without an evaluation set in common.
    """
    groups: dict[str, dict[Labels, dict[int, list[PlannedRun]]]] = {}
    seen: set[str] = set()
    for run in study.finished():
        if dimension is not None and dimension not in run.arm:
            raise ConfigError(f"study.report.panel={dimension!r} is not among {list(run.arm)}; vary it in every slice")
        if run.folder not in seen:
            labels = labels_of(run, dimension)
            panel = groups.setdefault(run.arm[dimension] if dimension else "", {})
            panel.setdefault(labels, {}).setdefault(run.seed, []).append(run)
            seen.add(run.folder)
    num_seeds = len({run.seed for run in study.runs})
    panels = []
    for name, by_labels in groups.items():
        arms, remarks = _arms(by_labels, metric)
        if not arms:
            say(f"{name or study.name}: not on the page, because {metric} needs two seeds and no arm has them yet")
            continue
        remarks += _few_seeds([arm for arm in arms if len(arm.runs) < num_seeds], num_seeds)
        panels.append(_panel(name, arms, remarks, baseline, placebos))
    if groups and not panels:
        raise DataError(f"no arm has two seeds yet, and {metric} needs two for an error; repeat the study's command")
    return panels


def labels_of(run: PlannedRun, panel: str | None) -> Labels:
    """Return what was chosen for a run, by dimension, without its panel and its draw."""
    return tuple(item for item in run.arm.items() if item[0] not in (panel, DRAW))


def joined(labels: Mapping[str, str]) -> str:
    """Return the name of the arm of these labels."""
    return " · ".join(labels.values())


def planned_arms(study: StudyRecord, dimension: str | None, panel: str) -> set[frozenset[tuple[str, str]]]:
    """Return the labels of the arms that a study has in a panel, finished or not."""
    runs = (run for run in study.runs if dimension is None or run.arm.get(dimension) == panel)
    return {frozenset(labels_of(run, dimension)) for run in runs}


def without_arms(study: StudyRecord, dimension: str | None, panels: Sequence[Panel]) -> str:
    """Return a sentence on the panels of a study that no arm is finished in; empty where there is none."""
    planned = dict.fromkeys(run.arm[dimension] for run in study.runs) if dimension else {}
    missing = [name for name in planned if name not in {panel.name for panel in panels}]
    return f"No arm is finished on {listed(missing)}." if missing else ""


def _panel(
    name: str, arms: Sequence[Arm], remarks: Sequence[str], baseline: Mapping[str, str], placebos: Sequence[str]
) -> Panel:
    """Return the panel of all arms with the budget of the baseline; remarks say which arms have another."""
    base = next((arm for arm in arms if arm.labels == baseline), None)
    budget = base.tokens if base else min(arm.tokens for arm in arms)
    matched = [arm for arm in arms if abs(arm.tokens - budget) < arm.batch_tokens]
    longer = [arm for arm in arms if arm.has(baseline) and arm not in matched and arm.tokens > budget]
    other_budget = [
        f"{arm.name} was trained on {arm.tokens:,.0f} tokens instead of {budget:,.0f} and is not compared."
        for arm in arms
        if arm not in matched and arm not in longer
    ]
    unfinished = [] if base else [f"The baseline ({joined(baseline)}) is not finished."]
    return Panel(name, base, matched, longer, [*remarks, *other_budget, *unfinished], placebos)


def _few_seeds(arms: Sequence[Arm], wanted: int) -> list[str]:
    if len(arms) > NAMED:
        return [f"{len(arms)} arms have fewer than {wanted} seeds; pairs are compared over those they share."]
    return [
        f"{arm.name} has {len(arm.runs)} of {wanted} seeds; pairs are compared over those they share." for arm in arms
    ]


def _arms(groups: Mapping[Labels, Group], metric: str) -> tuple[list[Arm], list[str]]:
    """Return the arms over the evaluation sets that all runs share, and remarks on what is left out."""
    every = [run for by_seed in groups.values() for draws in by_seed.values() for run in draws]
    runs = {run.folder: measured(run, metric) for run in every}
    sets, remarks = _shared_sets(list(runs.values()))
    arms: list[Arm] = []
    for labels, unordered in groups.items():
        name = joined(dict(labels))
        if metric != LOSS and len(unordered) < 2:
            remarks.append(f"{name} is left out: it has one seed, and {metric} needs two for an error.")
            continue
        by_seed = dict(sorted(unordered.items()))
        counts = [len(draws) for draws in by_seed.values()]
        if min(counts) < max(counts):
            remarks.append(
                f"{name} is the mean of {min(counts)} to {max(counts)} draws, not equally many at every seed."
            )
        values = [mean_of([runs[run.folder] for run in draws], sets) for draws in by_seed.values()]
        first = {seed: draws[0] for seed, draws in by_seed.items()}
        arms.append(Arm(dict(labels), first, outcome(name, tuple(by_seed), values, sets)))
    return arms, remarks


def _shared_sets(runs: Sequence[Measured]) -> tuple[list[str], list[str]]:
    """Return the evaluation sets that all runs have, and a remark on each other one; raises DataError for none."""
    sets = common_sets(runs)
    left_out = sorted({name for run in runs for name in run} - set(sets))
    if not sets:
        raise DataError(f"no evaluation set has the same documents in all runs: {', '.join(left_out)}")
    return sets, [f"{name} is left out: its documents are not the same in all runs." for name in left_out]
