"""Which arms a study was made to compare, by their labels alone, finished or not."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from delt_exp.study.comparison.arms import Labels, joined, labels_of
from delt_exp.study.record import StudyRecord


class UnfinishedPair(NamedTuple):
    """Names of a panel and two of its arms that will be compared.

    with_baseline: whether the second is that; is_scored: whether the first has another score than a placebo.
    """

    panel: str
    first: str
    second: str
    with_baseline: bool
    is_scored: bool

    @property
    def is_claim(self) -> bool:
        """Whether it is to show that a score gains."""
        return self.with_baseline and self.is_scored


Unfinished = frozenset[UnfinishedPair]


def unfinished_pairs(
    study: StudyRecord, dimension: str | None, baseline: Mapping[str, str], placebos: Sequence[str]
) -> Unfinished:  # fmt: skip
    """Return the planned comparisons of all panels in which an arm has runs that are not finished.

    dimension, baseline, placebos: as for `read_panels`.
    """
    finished = {run.folder for run in study.finished()}
    planned: dict[str, dict[Labels, bool]] = {}
    for run in study.runs:
        labels = labels_of(run, dimension)
        arms = planned.setdefault(run.arm.get(dimension, "") if dimension else "", {})
        arms[labels] = arms.get(labels, True) and run.folder in finished
    return frozenset(
        UnfinishedPair(name, joined(first), joined(second), second == baseline, first.get("scorer") not in placebos)
        for name, arms in planned.items()
        for first, second in planned_pairs(arms, baseline, placebos)
        if not (arms[tuple(first.items())] and arms[tuple(second.items())])
    )


def planned_pairs(
    arms: Collection[Labels], baseline: Mapping[str, str], placebos: Sequence[str]
) -> list[tuple[Mapping[str, str], Mapping[str, str]]]:
    """Return the labels of the arms of a panel that are to be compared; baselines of a larger budget are not."""
    own = [labels for labels in map(dict, arms) if not baseline.items() < labels.items()]
    wanted = {id(labels): opponents(labels, baseline, placebos) for labels in own}
    return [(labels, other) for labels in own for other in own if other in wanted[id(labels)]]


def opponents(
    labels: Mapping[str, str], baseline: Mapping[str, str] | None, placebos: Sequence[str]
) -> list[Mapping[str, str]]:
    """Return the labels of the arms that an arm is compared with, each once, where the study has them."""
    wanted = [] if baseline is None else [baseline]
    if labels.get("scorer") not in placebos:
        wanted += [{**labels, "scorer": placebo} for placebo in placebos]
    if baseline is not None and "orderer" in baseline:
        wanted.append({**labels, "orderer": baseline["orderer"]})
    return [one for n, one in enumerate(wanted) if one != labels and one not in wanted[:n]]
