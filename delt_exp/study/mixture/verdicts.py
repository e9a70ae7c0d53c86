"""Is the proposed mixture lower than every one that costs nothing? One claim, and all other comparisons apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from delt_exp.report.columns import column_texts
from delt_exp.report.findings import Cell, Difference, Table
from delt_exp.statistics.families import DETECTABLE, Comparison, compare, holm
from delt_exp.study.mixture.compared import UNIT, Arm

Names = tuple[str, str]
_NOTE = (
    "The objective of the first mixture minus that of the second over common seeds, lower is better: uncorrected "
    f"t-intervals, which say what other seeds would do, and not other held-out documents. {DETECTABLE}"
)


@dataclass(frozen=True)
class Verdicts:
    """Comparisons of proposed mixtures by the names of both, corrected as two families.

    free: the first proposal less each mixture that costs nothing. others: every other comparison of a proposal.
    planned: how many comparisons `free` has once every run is finished.
    """

    subject: str
    free: Mapping[Names, Comparison]
    others: Mapping[Names, Comparison]
    planned: int

    @property
    def is_lower(self) -> bool:
        """Whether the first proposal is lower than every free mixture, at level alpha.

        All of these tests have to be passed, so that the claim needs no correction for their number
        (intersection-union test, Berger 1982).
        """
        whole = len(self.free) == self.planned
        return whole and all(one.p < one.alpha and one.favours_first for one in self.free.values())

    def answer(self) -> str:
        """Return the claim or that it is not shown, each difference with its interval, and what would be detected."""
        if not self.free:
            return f"No answer yet: {self.subject} shares two seeds with no mixture that costs nothing."
        texts = column_texts([Difference.of(pair) for pair in self.free.values()])
        minus = ", ".join(f"{text.joined} to {other}" for (_, other), text in zip(self.free, texts, strict=True))
        lower = f"{self.subject}, which small models propose, is lower than every mixture that costs nothing"
        if self.is_lower:
            return f"{lower}: {minus} {UNIT} (p {max(one.p for one in self.free.values()):.2g})."
        told = f"It is not shown that {lower}: {minus} {UNIT}."
        least = sorted(one.estimate.detectable(one.alpha) for one in self.free.values())
        left = self.planned - len(self.free)
        open_ = f" {left} of {self.planned} comparisons are still to come." if left else ""
        return (
            f"{told} {self._clear()} True differences of {least[0]:.2g} to {least[-1]:.2g}, by mixture, would each be "
            f"detected with 80 % power.{open_}"
        )

    def _clear(self) -> str:
        """Return which free mixtures the proposal is shown to be lower or higher than, corrected for their number."""
        by_verdict = {
            word: [other for (_, other), one in self.free.items() if one.verdict.startswith(verdict)]
            for word, verdict in (("lower", "better"), ("higher", "worse"))
        }
        parts = [f"{word} than {', '.join(names)}" for word, names in by_verdict.items() if names]
        return f"It is shown to be {' and '.join(parts)}." if parts else "It is not distinguishable from any of them."


def verdicts(
    arms: Sequence[Arm], planned: Sequence[str], proposed: Sequence[str], free: Sequence[str], alpha: float
) -> Verdicts:
    """Return the comparisons of the proposed mixtures over common seeds, where two of them have at least two.

    planned: names of all mixtures that are to be compared, finished or not; proposed: the first is the one that the
    study asks about. Comparisons that are still to come count in the correction of their family.
    """
    by_name = {arm.name: arm for arm in arms}
    subject = proposed[0]
    first = [(subject, other) for other in free]
    pairs = [
        (one, other)
        for number, one in enumerate(proposed)
        for other in planned
        if other not in proposed[: number + 1] and (one, other) not in first
    ]
    return Verdicts(subject, _family(by_name, first, alpha), _family(by_name, pairs, alpha), len(first))


def _family(arms: Mapping[str, Arm], planned: Sequence[Names], alpha: float) -> dict[Names, Comparison]:
    found = {names: pair for names in planned if (pair := _compared(arms, names, alpha)) is not None}
    return dict(zip(found, holm(list(found.values()), len(planned) - len(found)), strict=True))


def _compared(arms: Mapping[str, Arm], names: Names, alpha: float) -> Comparison | None:
    if not set(names) <= set(arms):
        return None
    first, second = (arms[name] for name in names)
    seeds = sorted(set(first.values) & set(second.values))
    return compare(first.on(seeds), second.on(seeds), alpha) if len(seeds) > 1 else None


def free_table(found: Verdicts) -> Table:
    """Return the first proposal beside each mixture that costs nothing."""
    note = (
        f"{found.subject} minus each mixture that costs nothing. That it is lower than all of them is claimed where "
        "every p is below alpha, without a correction (intersection-union test); verdicts on single ones are after "
        f"Holm's correction. {_NOTE}"
    )
    return _table("verdicts", "Is the proposal lower than every mixture that costs nothing?", note, found.free, True)


def others_table(found: Verdicts) -> Table:
    """Return every other comparison of a proposal: with placebos, with one without laws, with longer training."""
    note = f"Comparisons that the answer does not rest on, a family of their own (Holm). {_NOTE}"
    return _table("other_verdicts", "Other comparisons of proposals", note, found.others, False)


def _table(name: str, title: str, note: str, pairs: Mapping[Names, Comparison], is_answer: bool) -> Table:
    rows: list[Sequence[Cell]] = [
        [subject, pair.verdict, other, Difference.of(pair), pair.p, pair.p_holm, pair.detectable]
        for (subject, other), pair in pairs.items()
    ]
    columns = ["first", "verdict", "second", "first minus second", "p", "p (Holm)", "minimum detectable effect"]
    return Table(name, title, note, columns, rows, is_answer=is_answer)
