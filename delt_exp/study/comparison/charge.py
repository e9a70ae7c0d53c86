"""What an arm is charged for its score and its training, whatever else the machine was doing.

Measured seconds also depend on what else ran. Four rules keep that out of the comparison at equal cost:

- CPU time is charged in place of wall time, where it is known for every part of every arm.
- Training has one speed: the median seconds per predicted token over all runs of one recipe. Arms of one budget are
  charged the same number of tokens, although one may end with a fuller batch, so that arms trained alike cost alike.
- A score is charged at its median over all runs of its task with that scorer (and proxy, where that varies too),
  whatever was kept or ordered by it; runs that share one computation count once.
- A cost below FLOOR of the baseline's training counts as 0, for as much more training would hardly show: where a loss
  falls linearly in the logarithm of training, 1 % more brings 1/70 of what twice as much brings.
"""

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from delt_exp.config.build import plain
from delt_exp.files import digest
from delt_exp.report.cost import CPU, WALL, Clock, scoring_seconds, selecting_cost, training_seconds
from delt_exp.report.stages import own_stage
from delt_exp.study.comparison.arms import Arm, Panel
from delt_exp.study.comparison.cost import cost_of

FLOOR = 0.01
# Config groups that decide what a score costs; a study that varies another one shares the cost between its choices.
SCORED_BY = {
    "scorer", "data_scorer", "proxy", "encoder", "judge", "utility", "target_dataset", "train_dataset", "corpus",
    "tokenizer",
}  # fmt: skip
Record = Mapping[str, Any]


def charged(panels: Sequence[Panel]) -> list[Panel]:
    """Return the panels with what their arms are charged."""
    records = [record for panel in panels for arm in _arms(panel) for record in arm.records]
    clock = clock_of(panels)
    speeds = _medians(
        (_recipe(record), seconds / record["training"]["tokens"])
        for record in records
        if (seconds := training_seconds(record, clock)) is not None
    )
    return [_charged(panel, clock, speeds) for panel in panels]


def clock_of(panels: Sequence[Panel]) -> Clock:
    """Return CPU time where every arm has a run whose training, score and selection are known by it, else wall time."""

    def is_known(record: Record) -> bool:
        scoring = scoring_seconds(record, WALL) is None or scoring_seconds(record, CPU) is not None
        return scoring and None not in (training_seconds(record, CPU), selecting_cost(record, CPU).seconds)

    return CPU if all(any(map(is_known, arm.records)) for panel in panels for arm in _arms(panel)) else WALL


def _charged(panel: Panel, clock: Clock, speeds: Mapping[Hashable, float]) -> Panel:
    arms, base = _arms(panel), panel.baseline or min(panel.arms, key=lambda arm: arm.tokens)
    scoring = _medians(_distinct(arms, clock))
    new: dict[Arm, Arm] = {}
    for arm in arms:
        speed = float(np.median([speeds[_recipe(record)] for record in arm.records]))
        selecting = [selecting_cost(record, clock).seconds for record in arm.records]
        known = [seconds for seconds in selecting if seconds is not None]
        cost = replace(
            cost_of(arm.records),
            clock=clock,
            training_seconds=speed * (arm.tokens if arm in panel.longer else base.tokens),
            scoring_seconds=scoring.get(_scorer(arm)),
            selecting_seconds=float(np.median(known)) if known else 0.0,
        )
        new[arm] = replace(arm, charge=cost)
    floor = FLOOR * new[base].cost.training_seconds
    new = {arm: replace(one, charge=replace(one.cost, floor_seconds=floor)) for arm, one in new.items()}
    baseline = None if panel.baseline is None else new[panel.baseline]
    return replace(
        panel, baseline=baseline, arms=[new[arm] for arm in panel.arms], longer=[new[arm] for arm in panel.longer]
    )


def _arms(panel: Panel) -> list[Arm]:
    return [*panel.arms, *panel.longer]


def _scorer(arm: Arm) -> str:
    """Return the labels of an arm that decide what its score costs, or its name where the study varies none."""
    found = (label for dimension, label in arm.labels.items() if re.split(r"[.@]", dimension)[0] in SCORED_BY)
    return " · ".join(found) or arm.name


def _distinct(arms: Iterable[Arm], clock: Clock) -> list[tuple[Hashable, float]]:
    """Return scorer and seconds of every scoring, one that several runs share once; nothing where one is unknown."""
    found: dict[tuple[str, str], float | None] = {}
    unknown: set[str] = set()
    for arm in arms:
        for number, record in enumerate(arm.records):
            key = str(own_stage(record, "scores").get("key", f"{arm.name} {number}"))
            found[_scorer(arm), key] = scoring_seconds(record, clock)
            if scoring_seconds(record, WALL) is None:
                unknown.add(_scorer(arm))
    return [(name, value) for (name, _), value in found.items() if value is not None and name not in unknown]


def _recipe(record: Record) -> Hashable:
    """Return what decides how fast a token is trained."""
    config, protocol = record["config"], record["training"].get("protocol", {})
    weighter = {key: value for key, value in (config.get("weighter") or {}).items() if key != "seed"}
    rest = [config.get("training", {}).get("layout"), weighter, config.get("averaging")]
    return digest(plain([config["model"], *rest, len(protocol.get("tried", [0]))]))


def _medians(values: Iterable[tuple[Hashable, float]]) -> dict[Hashable, float]:
    groups: dict[Hashable, list[float]] = {}
    for key, value in values:
        groups.setdefault(key, []).append(value)
    return {key: float(np.median(group)) for key, group in groups.items()}
