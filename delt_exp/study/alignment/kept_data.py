"""What each method of a study kept, task by task and seed by seed: its alignment and what it gained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import ConfigError, DataError
from delt_exp.report.cost import training_seconds
from delt_exp.statistics.families import Comparison
from delt_exp.statistics.foresight import MIN_CHOICES, Foresight
from delt_exp.statistics.paired import LossArm
from delt_exp.study.comparison.arms import Arm, Panel
from delt_exp.study.comparison.outcomes import at_seeds
from delt_exp.study.record import StudyRecord


@dataclass(frozen=True, eq=False)
class Kept:
    """What methods kept on tasks, and what that brought.

    gain_PAS: improvement over the baseline, higher is better; known_PAS: alignment by metric, the mean over evaluation
    sets. Seconds of a task and seed, all methods together, the mean over tasks and seeds: of describing and comparing
    what they kept, by metric, and of training on it. P tasks (with the share kept), A methods, S seeds.
    """

    tasks_P: Sequence[str]
    methods_A: Sequence[str]
    seeds_S: tuple[int, ...]
    gain_PAS: NDArray[np.float64]
    known_PAS: Mapping[str, NDArray[np.float64]]
    unit: str
    alignment_seconds: Mapping[str, float]
    training_seconds: float
    remarks: Sequence[str]

    def by_family(self, families: Mapping[str, Sequence[str]]) -> tuple[Mapping[str, NDArray[np.float64]], Any]:
        """Return `known_PAS` and `gain_PAS` with the mean of each family in place of its methods.

        Raises ConfigError for a family without any of the methods, or a method in two.
        """
        family_of = {method: name for name, methods in families.items() for method in methods}
        for name, methods in families.items():
            doubled = [method for method in methods if family_of[method] != name]
            if doubled or not set(methods) & set(self.methods_A):
                what = f"{doubled[0]} is in two families" if doubled else f"none of {', '.join(methods)} is a method"
                raise ConfigError(f"study.report.families.{name}: {what}; there are {', '.join(self.methods_A)}")
        groups_A = np.array([family_of.get(method, method) for method in self.methods_A])

        def averaged(values_PAS: NDArray[np.float64]) -> NDArray[np.float64]:
            names = dict.fromkeys(groups_A)
            return np.stack([values_PAS[:, groups_A == name].mean(1) for name in names], axis=1)

        return {name: averaged(known) for name, known in self.known_PAS.items()}, averaged(self.gain_PAS)


@dataclass(frozen=True, eq=False)
class Foreseen:
    """One metric. p: of its correlation, corrected over metrics; p_P: task by task, corrected over metrics and tasks.

    The pick by this metric is compared with a method at random, with the pick after training all, and with the method
    that gained most on the other tasks; None with one seed, or with one task.
    """

    found: Foresight
    p: float
    p_P: Sequence[float]
    against_any: Comparison | None
    against_training: Comparison | None
    against_elsewhere: Comparison | None

    def is_shown(self, alpha: float) -> bool:
        """Whether more alignment goes with more gain, beyond chance."""
        return self.p < alpha and self.found.rho.value > 0


def kept_of(panels: Sequence[Panel], share: str | None, placebos: Sequence[str], study: StudyRecord) -> Kept:
    """Return alignment and gain of the methods that every task has, on the seeds that are finished for most of them.

    Raises ConfigError for runs without alignment, DataError for too few methods.
    """
    by_task, baselines = _tasks(panels, share, placebos)
    every = [arm for arms in by_task.values() for arm in arms.values()]
    seeds_S = _common_seeds([*every, *baselines.values()])
    full = {
        task: {name for name, arm in arms.items() if set(seeds_S) <= set(arm.runs)} for task, arms in by_task.items()
    }
    methods_A = [name for name in next(iter(by_task.values()), {}) if all(name in names for names in full.values())]
    if len(methods_A) < MIN_CHOICES:
        raise DataError(
            f"{study.folder}: {len(methods_A)} methods are finished in every task; a rank correlation needs "
            f"{MIN_CHOICES}: repeat the study's command"
        )
    arms_PA = [[arms[name] for name in methods_A] for arms in by_task.values()]
    gain_PAS = np.array([
        [_gains(arm, baselines[task], seeds_S) for arm in arms_A] for task, arms_A in zip(by_task, arms_PA, strict=True)
    ])  # fmt: skip
    known = [[_alignments(arm, seeds_S) for arm in arms_A] for arms_A in arms_PA]
    metrics = list(known[0][0])
    if not metrics:
        raise ConfigError(f"{study.folder}: runs without alignment; choose some, such as 'alignment=[unigram,ngram]'")
    known_PAS = {name: np.array([[one[name] for one in row] for row in known]) for name in metrics}
    left_out = sorted({name for arms in by_task.values() for name in arms} - set(methods_A))
    remarks = [f"Not in every task yet, and left out: {', '.join(left_out)}."] if left_out else []
    records = [[arm.runs[seed].record() or {} for arm in arms_A] for arms_A in arms_PA for seed in seeds_S]
    seconds = {name: float(np.mean([sum(_aligning(one, name) for one in row) for row in records])) for name in metrics}
    training = float(np.mean([sum(training_seconds(one) or 0.0 for one in row) for row in records]))
    return Kept(
        list(by_task), methods_A, seeds_S, gain_PAS, known_PAS, every[0].outcome.unit, seconds, training, remarks
    )


def _tasks(
    panels: Sequence[Panel], share: str | None, placebos: Sequence[str]
) -> tuple[dict[str, dict[str, Arm]], dict[str, Arm]]:  # fmt: skip
    """Return the arms of each task by method, without baselines and placebos, and the baseline of each task."""
    by_task: dict[str, dict[str, Arm]] = {}
    baselines: dict[str, Arm] = {}
    for panel in panels:
        for arm in panel.arms:
            if arm is panel.baseline or panel.baseline is None or arm.labels.get("scorer") in placebos:
                continue
            task = " · ".join(filter(None, [panel.name, f"{arm.labels[share]} kept" if share else ""])) or "all"
            by_task.setdefault(task, {})[arm.without(share or "")] = arm
            baselines[task] = panel.baseline
    return by_task, baselines


def _aligning(record: Mapping[str, Any], metric: str) -> float:
    """Return the seconds of describing what a run was trained on, and of comparing it with its evaluation sets."""
    rows = [row["trained"] for row in record["alignment"] if row["metric"] == metric]
    return float(max(row["train_seconds"] for row in rows) + sum(row["pair_seconds"] for row in rows))


def _common_seeds(arms: Sequence[Arm]) -> tuple[int, ...]:
    """Return the seeds that most arms have: while a study runs, its last seed is half done."""
    counts = {seed: sum(seed in arm.runs for arm in arms) for arm in arms for seed in arm.runs}
    most = max(counts.values(), default=0)
    return tuple(sorted(seed for seed, count in counts.items() if count == most))


def _gains(arm: Arm, baseline: Arm, seeds_S: tuple[int, ...]) -> NDArray[np.float64]:
    """Return how much better than the baseline an arm is on each seed."""
    missing = sorted(set(seeds_S) - set(baseline.runs))
    if missing:
        raise DataError(f"{baseline.name}, the baseline, has no seed {missing[0]} yet; repeat the study's command")
    (own_S, base_S) = (_values(one, seeds_S) for one in (arm, baseline))
    return own_S - base_S if arm.outcome.better == "higher" else base_S - own_S


def _values(arm: Arm, seeds_S: tuple[int, ...]) -> NDArray[np.float64]:
    outcome = at_seeds(arm.outcome, seeds_S)
    if isinstance(outcome, LossArm):
        return np.asarray(outcome.sum_nats_SD.sum(1) / outcome.num_tokens_D.sum())
    return np.asarray(outcome.values_S)


def _alignments(arm: Arm, seeds_S: tuple[int, ...]) -> dict[str, list[float]]:
    """Return by metric the alignment of what was trained on, on each seed, the mean over evaluation sets."""
    found: dict[str, list[float]] = {}
    for seed in seeds_S:
        rows = (arm.runs[seed].record() or {}).get("alignment") or []
        for metric in dict.fromkeys(row["metric"] for row in rows):
            values = [row["trained"]["value"] for row in rows if row["metric"] == metric]
            found.setdefault(metric, []).append(float(np.mean(values)))
    return {metric: values for metric, values in found.items() if len(values) == len(seeds_S)}
