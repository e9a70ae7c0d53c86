"""Does alignment say before training which selection wins? That of the documents each method kept, and its gain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from omegaconf import DictConfig

from delt_exp.config.build import plain
from delt_exp.config.fields import ProperShare, Seed, settings
from delt_exp.errors import ConfigError, DataError
from delt_exp.files import digest
from delt_exp.report.findings import Findings
from delt_exp.statistics.families import Comparison, compare, holm, holm_p
from delt_exp.statistics.foresight import MIN_CHOICES, Foresight, foresight, picks
from delt_exp.statistics.paired import Estimate, LossArm, MetricArm
from delt_exp.statistics.relation import detectable_r
from delt_exp.study.alignment.kept_tables import (
    answer,
    correlations_table,
    figure,
    kept_table,
    picks_table,
    tasks_table,
)
from delt_exp.study.comparison.arms import Arm, Panel, read_panels
from delt_exp.study.comparison.outcomes import at_seeds
from delt_exp.study.record import StudyRecord


@dataclass(frozen=True, eq=False)
class Kept:
    """What methods kept on tasks, and what that brought.

    gain_PAS: improvement over the baseline, higher is better; known_PAS: alignment by metric, the mean over evaluation
    sets. P tasks (with the share kept), A methods, S seeds.
    """

    tasks_P: Sequence[str]
    methods_A: Sequence[str]
    seeds_S: tuple[int, ...]
    gain_PAS: NDArray[np.float64]
    known_PAS: Mapping[str, NDArray[np.float64]]
    unit: str
    remarks: Sequence[str]


@dataclass(frozen=True, eq=False)
class Foreseen:
    """One metric. p: of its correlation, corrected over metrics; p_P: task by task, corrected over metrics and tasks.

    against_any, against_training: the pick by this metric, against a method at random and against the pick after
    training all; None with one seed.
    """

    found: Foresight
    p: float
    p_P: Sequence[float]
    against_any: Comparison | None
    against_training: Comparison | None

    def is_shown(self, alpha: float) -> bool:
        """Whether more alignment goes with more gain, beyond chance."""
        return self.p < alpha and self.found.rho.value > 0


@settings
class KeptReport:
    """Relates the alignment of what each method kept with its gain over the baseline, task by task.

    panel: the dimension of tasks, null for one. share: the dimension of the share kept, null where none is varied; each
    task with each share counts as a task. metric, baseline and placebos as in `ComparisonReport`; placebos and the
    baseline are no methods to pick. permutations: of methods, for p.
    """

    panel: str | None
    share: str | None
    metric: str
    baseline: Mapping[str, str | int | float]
    placebos: Sequence[str]
    alpha: ProperShare
    permutations: Annotated[int, Ge(100)]
    seed: Seed

    def outlook(self, configs: Sequence[DictConfig]) -> list[str]:
        """Return which rank correlation the study can find, from the numbers of methods and tasks."""
        methods = {digest(plain(cfg.scorer)) for cfg in configs}
        tasks = {digest([plain(cfg[key]) for key in ("train_dataset", "eval_dataset", "selector")]) for cfg in configs}
        seeds = {cfg.seed for cfg in configs}
        count, num_tasks = max(len(methods) // len(seeds), 1), max(len(tasks) // len(seeds), 1)
        low, high = (_detectable(count, number, self.alpha) for number in (num_tasks, 1))
        return [
            f"power: with about {count} methods, a mean rank correlation of alignment and gain is found with "
            f"probability 0.8 from {low:.2f} if tasks are independent, from {high:.2f} if methods do the same in all of them."
        ]

    def findings(self, study: StudyRecord) -> Findings:
        """Return correlations, picks and every point; raises DataError for too few methods, or without alignment."""
        labels = {key: str(label) for key, label in self.baseline.items()}
        panels = read_panels(study, self.panel, self.metric, labels, self.placebos)
        kept = kept_of(panels, self.share, self.placebos, study)
        foreseen = self._foreseen(kept)
        best = max(foreseen, key=lambda metric: foreseen[metric].found.rho.value)
        tables = [
            correlations_table(foreseen, self.alpha), picks_table(foreseen), tasks_table(kept, foreseen, self.alpha),
            kept_table(kept),
        ]  # fmt: skip
        text = "\n".join([*answer(kept, foreseen, self.alpha), *kept.remarks])
        return Findings(text, [figure(kept, best)], [table for table in tables if table.rows])

    def _foreseen(self, kept: Kept) -> dict[str, Foreseen]:
        options = {"alpha": self.alpha, "permutations": self.permutations, "seed": self.seed}
        found = {name: foresight(known, kept.gain_PAS, **options) for name, known in kept.known_PAS.items()}
        p_M = holm_p(np.array([one.p for one in found.values()]))
        p_MP = holm_p(np.concatenate([one.p_P for one in found.values()])).reshape(len(found), -1)
        pairs = [_pick_comparisons(name, known, kept, self.alpha) for name, known in kept.known_PAS.items()]
        against_any = holm([pair[0] for pair in pairs if pair])
        foreseen = {}
        for number, (name, one) in enumerate(found.items()):
            pair = pairs[number]
            compared = (against_any[number], pair[1]) if pair else (None, None)
            foreseen[name] = Foreseen(one, float(p_M[number]), p_MP[number].tolist(), *compared)
        return foreseen


def kept_of(panels: Sequence[Panel], share: str | None, placebos: Sequence[str], study: StudyRecord) -> Kept:
    """Return alignment and gain of the methods that every task has, on the seeds that are finished for most of them.

    Raises ConfigError for runs without alignment, DataError for too few methods.
    """
    by_task: dict[str, dict[str, Arm]] = {}
    baselines: dict[str, Arm] = {}
    for panel in panels:
        for arm in panel.arms:
            if arm is panel.baseline or panel.baseline is None or arm.labels.get("scorer") in placebos:
                continue
            task = " · ".join(filter(None, [panel.name, f"{arm.labels[share]} kept" if share else ""])) or "all"
            by_task.setdefault(task, {})[arm.without(share or "")] = arm
            baselines[task] = panel.baseline
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
    unit = every[0].outcome.unit
    return Kept(list(by_task), methods_A, seeds_S, gain_PAS, known_PAS, unit, remarks)


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


def _pick_comparisons(
    name: str, known_PAS: NDArray[np.float64], kept: Kept, alpha: float
) -> tuple[Comparison, Comparison] | None:  # fmt: skip
    """Return the pick by a metric against a method at random, and against training all; None for one seed."""
    found = picks(known_PAS, kept.gain_PAS)
    if found.trained_S is None:
        return None

    def arm(label: str, values_S: NDArray[np.float64]) -> MetricArm:
        return MetricArm(label, kept.seeds_S, values_S, "higher", kept.unit)

    own = arm(name, found.foreseen_S)
    by_chance, by_training = arm("a method at random", found.any_S), arm("training all", found.trained_S)
    return compare(own, by_chance, alpha), compare(own, by_training, alpha)


def _detectable(methods: int, tasks: int, alpha: float) -> float:
    """Return the mean Spearman correlation over tasks that is found with power 0.8.

    The variance of its Fisher's z is 1.06 / (methods - 3) (Fieller, Hartley and Pearson 1957) over the tasks.
    """
    if methods <= MIN_CHOICES:
        return 1.0
    z = Estimate(0.0, (1.06 / (methods - 3) / tasks,), (methods - 1,), 1.0, "corpora")
    return detectable_r(z, alpha) or 1.0
