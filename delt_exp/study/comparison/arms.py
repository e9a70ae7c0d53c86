"""The finished runs of a study as arms: runs that differ in their seed alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from delt_exp.errors import ConfigError, DataError
from delt_exp.study.comparison.outcomes import LOSS, Measured, Outcome, common_sets, measured, outcome
from delt_exp.study.record import PlannedRun, StudyRecord

NAMED = 5  # arms in a remark; of more, their number is said
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class Arm:
    """labels: what was chosen, by dimension, without the panel; runs: by seed, ascending."""

    panel: str
    labels: Mapping[str, str]
    runs: Mapping[int, PlannedRun]
    outcome: Outcome

    @property
    def name(self) -> str:
        """The choices, joined."""
        return self.outcome.name

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """The records of the runs, by seed."""
        return [record for run in self.runs.values() if (record := run.record()) is not None]

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


@dataclass(frozen=True, eq=False)
class Panel:
    """Arms that are compared with each other.

    baseline: the conventional arm, None while it is not finished. arms: all of its training budget, itself included.
    longer: arms like the baseline with a larger budget. remarks: what is missing or not compared.
    """

    name: str
    baseline: Arm | None
    arms: Sequence[Arm]
    longer: Sequence[Arm]
    remarks: Sequence[str]

    def like(self, arm: Arm, **changed: str) -> Arm | None:
        """Return the arm of the same labels but for those changed; None where there is none."""
        labels = {**arm.labels, **changed}
        return next((other for other in self.arms if other.labels == labels), None)


def read_panels(study: StudyRecord, dimension: str | None, metric: str, baseline: Mapping[str, str]) -> list[Panel]:
    """Return the arms of the finished runs, panel by panel; one panel without a name where `dimension` is None.

    A run that the study lists twice counts under its first name. Raises ConfigError for a dimension that a slice does
    not vary, DataError for runs without the metric or without an evaluation set in common.
    """
    groups: dict[str, dict[Labels, dict[int, PlannedRun]]] = {}
    seen: set[str] = set()
    for run in study.finished():
        if dimension is not None and dimension not in run.arm:
            raise ConfigError(f"study.report.panel={dimension!r} is not among {list(run.arm)}; vary it in every slice")
        if run.folder not in seen:
            labels = tuple(item for item in run.arm.items() if item[0] != dimension)
            panel = groups.setdefault(run.arm[dimension] if dimension else "", {})
            panel.setdefault(labels, {})[run.seed] = run
            seen.add(run.folder)
    seeds = sorted({run.seed for run in study.runs})
    return [_panel(name, arms, metric, baseline, seeds) for name, arms in groups.items()]


def _panel(
    name: str, groups: Mapping[Labels, Mapping[int, PlannedRun]], metric: str, baseline: Mapping[str, str],
    seeds: Sequence[int],
) -> Panel:  # fmt: skip
    arms, remarks = _arms(name, groups, metric)
    remarks += _few_seeds([arm for arm in arms if len(arm.runs) < len(seeds)], len(seeds))
    base = next((arm for arm in arms if arm.labels == baseline), None)
    budget = base.tokens if base else min(arm.tokens for arm in arms)
    matched = [arm for arm in arms if abs(arm.tokens - budget) < arm.batch_tokens]
    longer = [arm for arm in arms if arm.has(baseline) and arm not in matched and arm.tokens > budget]
    remarks += [
        f"{arm.name} was trained on {arm.tokens:,.0f} tokens instead of {budget:,.0f} and is not compared."
        for arm in arms
        if arm not in matched and arm not in longer
    ]
    if base is None:
        remarks.append(f"The baseline ({' · '.join(baseline.values())}) is not finished.")
    return Panel(name, base, matched, longer, remarks)


def _few_seeds(arms: Sequence[Arm], wanted: int) -> list[str]:
    if len(arms) > NAMED:
        return [f"{len(arms)} arms have fewer than {wanted} seeds; pairs are compared over those they share."]
    return [
        f"{arm.name} has {len(arm.runs)} of {wanted} seeds; pairs are compared over those they share." for arm in arms
    ]


def _arms(panel: str, groups: Mapping[Labels, Mapping[int, PlannedRun]], metric: str) -> tuple[list[Arm], list[str]]:
    runs: dict[str, Measured] = {
        run.folder: measured(run, metric) for by_seed in groups.values() for run in by_seed.values()
    }
    sets = common_sets(list(runs.values()))
    left_out = sorted({name for run in runs.values() for name in run} - set(sets))
    if not sets:
        raise DataError(f"no evaluation set has the same documents in all runs: {', '.join(left_out)}")
    remarks = [f"{name} is left out: its documents are not the same in all runs." for name in left_out]
    arms: list[Arm] = []
    for labels, by_seed in groups.items():
        name, by_seed = " · ".join(label for _, label in labels), dict(sorted(by_seed.items()))
        if metric != LOSS and len(by_seed) < 2:
            remarks.append(f"{name} is left out: it has one seed, and {metric} needs two for an error.")
            continue
        values = [runs[run.folder] for run in by_seed.values()]
        arms.append(Arm(panel, dict(labels), by_seed, outcome(name, tuple(by_seed), values, sets)))
    if not arms:
        raise DataError(f"no arm has two seeds yet, and {metric} needs two for an error; repeat the study's command")
    return arms, remarks
