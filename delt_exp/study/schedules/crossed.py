"""Orders crossed with schedules: each order against shuffling, and its gain under one schedule against another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from delt_exp.errors import DataError
from delt_exp.statistics.families import Comparison, holm_by_key
from delt_exp.study.comparison.outcomes import (
    AVERAGED,
    LOSS,
    LOSSES,
    Measured,
    Outcome,
    at_seeds,
    common_seeds,
    common_sets,
    compare_paired,
    measured,
    outcome,
)
from delt_exp.study.record import PlannedRun, StudyRecord


class Order(NamedTuple):
    """An orderer and the scorer whose scores it follows."""

    orderer: str
    scorer: str


Cells = Mapping[tuple[str, Order], Outcome]
"""The losses of each order under each schedule, over the seeds that are finished."""


@dataclass(frozen=True)
class Crossed:
    """The planned comparisons, each kind one family under Holm's correction, by schedule and order.

    gains: an order against shuffling. controls: against the same order of permuted scores. placebos: that order against
    shuffling. interactions: the gain of an order under a schedule against its gain under the reference. Differences of
    losses: below 0 the order, or the schedule for it, is better.
    """

    gains: Mapping[tuple[str, Order], Comparison]
    controls: Mapping[tuple[str, Order], Comparison]
    placebos: Mapping[tuple[str, Order], Comparison]
    interactions: Mapping[tuple[str, Order], Comparison]


def read_cells(study: StudyRecord) -> Cells:
    """Return the losses of all finished runs, averaged weights as a schedule of their own.

    Raises DataError where the runs share no evaluation set.
    """
    runs: dict[tuple[str, Order], dict[int, Measured]] = {}
    for run in study.finished():
        for schedule, found in _measured(run):
            order = Order(run.arm["orderer"], run.arm["scorer"])
            by_seed = runs.setdefault((schedule, order), {})
            if run.seed in by_seed:
                what = f"{order.orderer} by {order.scorer} under {schedule}"
                raise DataError(
                    f"{study.folder}: {what} has two runs of seed {run.seed}; this study varies schedule, orderer and "
                    "scorer alone"
                )
            by_seed[run.seed] = found
    sets = common_sets([found for by_seed in runs.values() for found in by_seed.values()])
    if not sets:
        raise DataError(f"{study.folder}: no evaluation set has the same documents in all runs")
    cells = {}
    for (schedule, order), by_seed in runs.items():
        seeds = tuple(sorted(by_seed))
        name = f"{order.orderer} by {order.scorer}, {schedule}"
        cells[schedule, order] = outcome(name, seeds, [by_seed[seed] for seed in seeds], sets)
    return cells


def schedules_of(run: PlannedRun) -> list[str]:
    """Return the schedules that a run, finished or not, tells of."""
    schedule, is_averaged = run.arm["schedule"], (Path(run.folder) / AVERAGED).exists()
    plans = any(text.startswith("averaging=") and text != "averaging=none" for text in run.overrides)
    return [schedule, f"{schedule}, averaged"] if is_averaged or plans else [schedule]


def _measured(run: PlannedRun) -> list[tuple[str, Measured]]:
    names = schedules_of(run)
    found = [(names[0], measured(run, LOSS, LOSSES))]
    if (Path(run.folder) / AVERAGED).exists():
        found.append((names[1], measured(run, LOSS, AVERAGED)))
    return found


def crossed(cells: Cells, shuffle: Order, reference: str, placebo: str, alpha: float) -> Crossed:
    """Return the planned comparisons of the cells that are there."""
    orders = [key for key in cells if key[1].orderer != shuffle.orderer and key[1].scorer != placebo]
    placebos = [key for key in cells if key[1].scorer == placebo]

    def against(
        keys: Sequence[tuple[str, Order]], other: Mapping[tuple[str, Order], Order]
    ) -> dict[tuple[str, Order], Comparison]:
        pairs = {key: (cells[key], cells.get((key[0], other[key]))) for key in keys}
        found = {key: compare_paired(one, two, alpha) for key, (one, two) in pairs.items() if two is not None}
        return _corrected(found)

    return Crossed(
        gains=against(orders, dict.fromkeys(orders, shuffle)),
        controls=against(orders, {key: key[1]._replace(scorer=placebo) for key in orders}),
        placebos=against(placebos, dict.fromkeys(placebos, shuffle)),
        interactions=_corrected({key: _interaction(cells, key, shuffle, reference, alpha) for key in orders}),
    )


def _interaction(
    cells: Cells, key: tuple[str, Order], shuffle: Order, reference: str, alpha: float
) -> Comparison | None:  # fmt: skip
    """Return what an order gains under a schedule less what it gains under the reference, over common seeds."""
    schedule, order = key
    places = [(schedule, order), (schedule, shuffle), (reference, order), (reference, shuffle)]
    if schedule == reference or not all(place in cells for place in places):
        return None
    seeds = common_seeds([cells[place] for place in places])
    if seeds is None:
        return None
    ours, theirs, reference_ours, reference_theirs = (at_seeds(cells[place], seeds) for place in places)
    gain, reference_gain = ours.minus(theirs), reference_ours.minus(reference_theirs)  # type: ignore[arg-type]
    names = (f"gain of {order.orderer}, {name}" for name in (schedule, reference))
    return compare_paired(replace(gain, name=next(names)), replace(reference_gain, name=next(names)), alpha)


def _corrected(found: Mapping[tuple[str, Order], Comparison | None]) -> dict[tuple[str, Order], Comparison]:
    return holm_by_key({key: pair for key, pair in found.items() if pair is not None})
