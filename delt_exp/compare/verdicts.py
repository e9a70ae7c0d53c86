"""Every arm against the baseline: task by task, group by group, and over all.

Shape suffixes: S seeds, N items or clusters of items, T tasks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from delt_exp.compare.answers import Answers
from delt_exp.compare.arms import Arm, Read
from delt_exp.errors import DataError
from delt_exp.statistics.families import Comparison, holm
from delt_exp.statistics.macro import (
    TaskDifference,
    crossed_difference,
    macro_mean,
    nested_difference,
    unpaired_difference,
)
from delt_exp.statistics.paired import Estimate

OVERALL = "overall"
NOT = "not distinguishable"


@dataclass(frozen=True)
class Verdict:
    """One comparison.

    level: task, group or overall. values and errors (standard errors): of the arm and of the baseline. num_items: of
    all tasks; clusters where items are joined.
    """

    place: str
    level: str
    metric: str
    comparison: Comparison
    values: tuple[float, float]
    errors: tuple[float, float] | None
    num_items: int
    num_tasks: int
    seeds: Sequence[int]

    @property
    def word(self) -> str:
        """better, worse or not distinguishable, said of the arm."""
        return self.comparison.verdict.split(" (")[0]

    @property
    def label(self) -> str:
        """The place, with the number of tasks where it is a mean over several."""
        return self.place if self.level == "task" else f"{self.place} ({self.num_tasks} tasks)"

    @property
    def smallest(self) -> float | None:
        """The smallest true difference that is detected with 80 % power; None where nothing varied."""
        return abs(self.comparison.detectable) if self.comparison.estimate.stderr > 0 else None


@dataclass(frozen=True, eq=False)
class _Measured:
    """A task of one arm: its own mean, and its difference from the baseline."""

    answers: Answers
    difference: TaskDifference
    arm: Estimate
    baseline: Estimate
    num_items: int


def verdicts(read: Read, alpha: float) -> list[Verdict]:
    """Return all comparisons, first those over all tasks, then groups, then tasks.

    Corrected after Holm in two families: the comparisons over all tasks, and those of tasks and groups.
    """
    found: list[Verdict] = []
    baseline = read.arms[0]
    for arm in read.arms[1:]:
        measured = {task: _measured(baseline, arm, task) for task in baseline.tasks}
        found += [_on_task(task, one, arm, baseline, alpha) for task, one in measured.items()]
        found += _over_groups(measured, read.groups, arm, baseline, alpha)
    families = [[one for one in found if (one.level == OVERALL) == overall] for overall in (True, False)]
    corrected = [_corrected(family) for family in families]
    order = {OVERALL: 0, "group": 1, "task": 2}
    return sorted([one for family in corrected for one in family], key=lambda one: order[one.level])


def _corrected(family: Sequence[Verdict]) -> list[Verdict]:
    adjusted = holm([one.comparison for one in family])
    return [replace(one, comparison=comparison) for one, comparison in zip(family, adjusted, strict=True)]


def _measured(baseline: Arm, arm: Arm, task: str) -> _Measured:
    ours, theirs = arm.answers(task), baseline.answers(task)
    try:
        if not arm.is_crossed(task):
            means_S = np.array([one.mean - other.mean for one, other in zip(ours, theirs, strict=True)])
            own = [nested_difference(np.array([one.mean for one in side])).estimate for side in (ours, theirs)]
            count = sum(len(one.items_N) for one in ours)
            return _Measured(ours[0], nested_difference(means_S), own[0], own[1], count)
        sizes_N = _clustered(ours[0], ours[0].sizes_N)
        sums = [np.stack([_clustered(one, one.sums_N) for one in side]) for side in (ours, theirs)]
        if arm.seeds == baseline.seeds:
            difference = crossed_difference(sums[0] - sums[1], sizes_N)
        else:
            difference = unpaired_difference(sums[0], sums[1], sizes_N)
        own = [crossed_difference(side_SN, sizes_N).estimate for side_SN in sums]
        return _Measured(ours[0], difference, own[0], own[1], len(sizes_N))
    except DataError as error:
        raise DataError(f"{task}: {error}") from error


def _clustered(answers: Answers, values_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums of clusters, of the items themselves where there are none."""
    if answers.clusters_N is None:
        return values_N
    clusters, cluster_N = np.unique(answers.clusters_N, return_inverse=True)
    return np.bincount(cluster_N, values_N, len(clusters)).astype(np.float64)


def _on_task(task: str, one: _Measured, arm: Arm, baseline: Arm, alpha: float) -> Verdict:
    comparison = _comparison(one.difference.estimate, one.answers, arm, baseline, alpha)
    values, errors = (one.arm.value, one.baseline.value), (one.arm.stderr, one.baseline.stderr)
    return Verdict(task, "task", one.answers.metric, comparison, values, errors, one.num_items, 1, arm.seeds)


def _over_groups(
    measured: Mapping[str, _Measured], groups: Mapping[str, Sequence[str]], arm: Arm, baseline: Arm, alpha: float
) -> list[Verdict]:
    """Return the macro means: of every group, and of all that is in no group, where they have one unit."""
    inner = {child for children in groups.values() for child in children}
    means = {name: weights for name in groups if (weights := _weights(name, groups, measured))}
    top = [name for name in [*means, *measured] if name not in inner]
    found = []
    for name, weights in [*means.items(), (OVERALL, _joined([_weights(one, groups, measured) for one in top]))]:
        level = OVERALL if name == OVERALL else "group"
        for tasks in _by_unit(weights, measured):
            if len(tasks) < 2 or (level == "group" and top == [name]):  # a mean of one, or that over all
                continue
            parts, a_T = [measured[task] for task in tasks], np.array([weights[task] for task in tasks])
            a_T = a_T / a_T.sum()
            estimate = macro_mean([one.difference for one in parts], a_T)
            comparison = _comparison(estimate, parts[0].answers, arm, baseline, alpha)
            metrics = " / ".join(dict.fromkeys(one.answers.metric for one in parts))
            values = (float(a_T @ [one.arm.value for one in parts]), float(a_T @ [one.baseline.value for one in parts]))
            count = sum(one.num_items for one in parts)
            found.append(Verdict(name, level, metrics, comparison, values, None, count, len(parts), arm.seeds))
    return found


def _by_unit(weights: Mapping[str, float], measured: Mapping[str, _Measured]) -> list[list[str]]:
    """Return the tasks by unit and direction: accuracies and nats have no common mean."""

    def unit(task: str) -> tuple[str, str]:
        return measured[task].answers.unit, measured[task].answers.better

    return [list(tasks) for _, tasks in groupby(sorted(weights, key=unit), unit)]


def _weights(name: str, groups: Mapping[str, Sequence[str]], measured: Mapping[str, _Measured]) -> dict[str, float]:
    """Return the weight of every task in the mean of a task or group: each child of a group counts the same."""
    if name not in groups:
        return {name: 1.0} if name in measured else {}
    return _joined([_weights(child, groups, measured) for child in groups[name]])


def _joined(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    present = [part for part in parts if part]
    weights: dict[str, float] = {}
    for part in present:
        for task, weight in part.items():
            weights[task] = weights.get(task, 0.0) + weight / len(present)
    return weights


def _comparison(estimate: Estimate, answers: Answers, arm: Arm, baseline: Arm, alpha: float) -> Comparison:
    p = estimate.p
    return Comparison(arm.name, baseline.name, estimate, answers.better, answers.unit, alpha, p, p, 1)
