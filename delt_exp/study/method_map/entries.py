"""What each method brought on each task, and which to use."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from delt_exp.errors import DataError
from delt_exp.quantity import Ranged
from delt_exp.scorer.table import ScoreTable
from delt_exp.statistics.families import Comparison, holm_p
from delt_exp.study.comparison.arms import Arm, Panel
from delt_exp.study.comparison.equal_cost import earned
from delt_exp.study.comparison.planned import Unfinished


@dataclass(frozen=True, eq=False)
class Entry:
    """An arm of a task beside the baseline.

    pair: against the baseline of equally many tokens; controls: against every placebo that keeps as much;
    at_equal_cost: against the baseline trained for the same total time, None where it was not that long. unfinished:
    placebos that keep as much and that the study plans, but has not finished. p_shown: of its not being better than
    the baseline and every placebo, corrected for all arms of all tasks; 1 for a placebo, and before its own placebos
    are finished. seconds: of scoring and selecting, None where not recorded.
    """

    task: str
    arm: Arm
    pair: Comparison
    controls: Sequence[Comparison]
    at_equal_cost: Comparison | None
    is_placebo: bool
    seconds: float | None
    unfinished: Sequence[str] = ()
    p_shown: float = 1.0

    def named(self, share: str) -> str:
        """Return the scorer and what it keeps, by the label of the dimension `share`: "dsir, keeping 20 %"."""
        kept = str(self.arm.labels.get(share, "all"))
        return f"{self.arm.labels.get('scorer')}, keeping {_percent(kept)}"

    @property
    def gain(self) -> Ranged:
        """Improvement over the baseline with its interval; higher is better whatever is measured."""
        return improvement(self.pair)

    @property
    def net_gain(self) -> Ranged | None:
        """Improvement over the baseline trained for the same total time."""
        return improvement(self.at_equal_cost) if self.at_equal_cost else None

    @property
    def is_shown(self) -> bool:
        """Whether it is better than the baseline and than its placebos, after Holm's correction."""
        return self.p_shown < self.pair.alpha

    @property
    def loses_at_equal_cost(self) -> bool:
        """Whether the baseline is shown to be better when it is trained for the same total time."""
        return self.at_equal_cost is not None and self.at_equal_cost.is_clear and not self.at_equal_cost.is_better

    @property
    def p(self) -> float:
        """The p of the claim that it is better than the baseline and every placebo: the largest of theirs."""
        if self.unfinished:
            return 1.0
        tests = [self.pair, *self.controls]
        return max(one.p if one.favours_first else 1.0 for one in tests)


def _percent(label: str) -> str:
    try:
        return f"{100 * float(label):g} %"
    except ValueError:
        return label


def improvement(pair: Comparison) -> Ranged:
    """Return the difference of a pair turned so that higher is better."""
    low, high = pair.interval
    if pair.better == "higher":
        return Ranged(pair.estimate.value, low, high)
    return Ranged(-pair.estimate.value, -high, -low)


def entries_of(panel: Panel, planned: Collection[frozenset[tuple[str, str]]] = ()) -> list[Entry]:
    """Return every arm but the baseline that is compared with it, best first.

    planned: `planned_arms` of the task; empty where all of them are finished.
    """
    found = []
    for arm in panel.ranked:
        pair = panel.against_baseline(arm)
        if pair is None:
            continue
        controls = [*panel.against_placebos(arm).values()]
        equal, seconds = panel.at_equal_cost.get(arm.name), arm.cost.choosing("seconds")
        unfinished = panel.unfinished_placebos(arm, planned)
        found.append(Entry(panel.name, arm, pair, controls, equal, panel.is_placebo(arm), seconds, unfinished))
    return found


def with_claims(entries: Sequence[Entry], unfinished: Unfinished = frozenset()) -> list[Entry]:
    """Return the entries of all tasks with `p_shown`, corrected by Holm's method as one family of claims.

    unfinished: comparisons with the baseline among these are claims to come, but for those of placebos.
    """
    claims = [entry for entry in entries if not entry.is_placebo]
    there = {(entry.task, entry.arm.name) for entry in entries}
    to_come = sum(one.is_claim and (one.panel, one.first) not in there for one in unfinished)
    adjusted = holm_p(np.array([entry.p for entry in claims] + [1.0] * to_come))[: len(claims)]
    p_holm = dict(zip(map(id, claims), adjusted, strict=True))
    return [_shown(entry, float(p_holm.get(id(entry), 1.0))) for entry in entries]


def _shown(entry: Entry, p: float) -> Entry:
    """Return an entry with the corrected p of its claim, which its comparison at equal cost does not go beyond."""
    equal = entry.at_equal_cost
    if equal is not None and equal == entry.pair and equal.favours_first:  # one comparison, so that it is one claim
        equal = replace(equal, p_holm=p)
    elif equal is not None:
        equal = earned(equal, p)
    return replace(entry, p_shown=p, at_equal_cost=equal)


def recommended(entries: Sequence[Entry]) -> Entry | None:
    """Return what to use: of the arms whose gain is shown, the one that gains most at equal cost.

    Where no baseline was trained for as long as any of these took, the cheapest; where no cost is recorded, the one
    that gains most. None where no gain is shown, or training on all documents for the same total time is better.
    """
    shown = [entry for entry in entries if entry.is_shown and not entry.loses_at_equal_cost]
    paid = [entry for entry in shown if entry.net_gain is not None]
    if paid:
        return max(paid, key=lambda entry: entry.net_gain.value if entry.net_gain else -np.inf)
    timed = [entry for entry in shown if entry.seconds is not None]
    if timed:
        return min(timed, key=lambda entry: entry.seconds or 0.0)
    return max(shown, key=lambda entry: entry.gain.value, default=None)


def outdone(entries: Sequence[Entry]) -> Entry | None:
    """Return the largest shown gain where every shown gain is less than longer training brings; else None."""
    shown = [entry for entry in entries if entry.is_shown]
    if not all(entry.loses_at_equal_cost for entry in shown):
        return None
    return max(shown, key=lambda entry: entry.gain.value, default=None)


def next_better(entries: Sequence[Entry], used: Entry) -> Entry | None:
    """Return the cheapest arm whose gain is shown and larger than that of `used`; None where there is none.

    Larger as estimated: the two gains are not tested against each other.
    """
    above = [one for one in entries if one.is_shown and one.gain.value > used.gain.value and one.seconds is not None]
    return min(above, key=lambda entry: entry.seconds or 0.0, default=None)


def refuse_shared_documents(panel: Panel) -> None:
    """Raise DataError where a candidate of a run is a document that it was evaluated on."""
    for arm in panel.arms:
        for run in arm.runs.values():
            folder = Path(run.folder)
            evaluated = pq.read_table(folder / "losses.parquet", columns=["id"])["id"].to_numpy()
            shared = np.intersect1d(ScoreTable.load(folder / "scores.parquet").ids, evaluated)
            if len(shared):
                raise DataError(
                    f"{folder}: {len(shared)} evaluation documents are among the candidates, the first "
                    f"{int(shared[0]):016x}; set decontaminate=true, or choose another eval_dataset"
                )
