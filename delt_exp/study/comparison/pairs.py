"""Which arms of a study are compared, each kind of question as one family over all panels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TypeVar

from delt_exp.statistics.families import Comparison, holm
from delt_exp.statistics.moderated import moderated
from delt_exp.statistics.paired import Estimate
from delt_exp.study.comparison.arms import Arm, Panel
from delt_exp.study.comparison.equal_cost import at_equal_cost, earned, with_free
from delt_exp.study.comparison.outcomes import compare_paired
from delt_exp.study.comparison.planned import Unfinished, UnfinishedPair, opponents

Key = TypeVar("Key")
Pairs = Mapping[tuple[str, str], Comparison]
"""Comparisons by the names of the two arms."""


def compared(panels: Sequence[Panel], alpha: float, unfinished: Unfinished = frozenset()) -> list[Panel]:
    """Return the panels with their planned comparisons and those at equal cost.

    unfinished: comparisons that count in the correction before they are there, so that a verdict of half a study is
    none that the whole study would not give with the same p.
    """
    planned = [_pairs(_planned(panel), alpha) for panel in panels]
    equal = [at_equal_cost(panel, alpha) for panel in panels]
    missing = _missing(panels, planned, unfinished)
    claims = sum(one.is_claim for one in missing)
    found = _with_pairs(panels, _corrected(planned, len(missing)), _corrected(equal, claims))
    return [_gain_first(panel) for panel in found]


def baseline_apart(panels: Sequence[Panel], alpha: float, unfinished: Unfinished = frozenset()) -> list[Panel]:
    """Return what `compared` does, with the planned comparisons as two families: those with the baseline, and others.

    Each family is corrected on its own, as are those at equal cost, with moderated variances. For a claim that an arm
    beats the baseline and its placebos too: all of these tests have to be passed, so that the claim needs no correction
    for their number (intersection-union test, Berger 1982), only for that of claims. Whether an arm at equal cost gains
    at all is for such a claim to say: `earned`.
    """

    planned = [_pairs(_planned(panel), alpha) for panel in panels]
    bases = [panel.baseline.name if panel.baseline else None for panel in panels]
    missing = _missing(panels, planned, unfinished)
    with_base, others = (
        _corrected(_moderated([
            {names: pair for names, pair in pairs.items() if (names[1] == base) is wanted}
            for pairs, base in zip(planned, bases, strict=True)
        ]), sum(one.with_baseline is wanted for one in missing))
        for wanted in (True, False)
    )  # fmt: skip
    equal = _moderated([at_equal_cost(panel, alpha) for panel in panels])
    equal = _corrected(equal, sum(one.is_claim for one in missing))
    return _with_pairs(panels, [one | other for one, other in zip(with_base, others, strict=True)], equal)


def _with_pairs(
    panels: Sequence[Panel], planned: Sequence[Pairs], equal: Sequence[Mapping[str, Comparison]]
) -> list[Panel]:  # fmt: skip
    return [
        replace(panel, planned=pairs, at_equal_cost=with_free(panel, pairs, costs))
        for panel, pairs, costs in zip(panels, planned, equal, strict=True)
    ]


def _gain_first(panel: Panel) -> Panel:
    """Return the panel with comparisons at equal cost that claim no more than the planned ones do."""
    arms = {arm.name: arm for arm in panel.arms}
    gains = {name: panel.against_baseline(arms[name]) for name in panel.at_equal_cost}
    equal = {name: earned(pair, one.p_holm) for name, pair in panel.at_equal_cost.items() if (one := gains[name])}
    return replace(panel, at_equal_cost=equal)


def every_pair(panels: Sequence[Panel], alpha: float) -> list[Pairs]:
    """Return every two arms of each panel."""
    return [*_corrected([_pairs(list(combinations(panel.arms, 2)), alpha) for panel in panels])]


def _missing(panels: Sequence[Panel], planned: Sequence[Pairs], unfinished: Unfinished) -> list[UnfinishedPair]:
    """Return the comparisons that no panel has yet."""
    there = {(panel.name, *names) for panel, pairs in zip(panels, planned, strict=True) for names in pairs}
    return [one for one in unfinished if (one.panel, one.first, one.second) not in there]


def _corrected(families: Sequence[Mapping[Key, Comparison]], num_missing: int = 0) -> list[dict[Key, Comparison]]:
    """Return the comparisons with Holm's correction over all of them, and those that are missing, together."""
    corrected = iter(holm([pair for pairs in families for pair in pairs.values()], num_missing))
    return [{key: next(corrected) for key in pairs} for pairs in families]


def _moderated(families: Sequence[Mapping[Key, Comparison]]) -> list[dict[Key, Comparison]]:
    """Return the comparisons with variances moderated over all of them together."""
    estimates = iter(moderated([pair.estimate for pairs in families for pair in pairs.values()]))
    return [{key: _with(pair, next(estimates)) for key, pair in pairs.items()} for pairs in families]


def _with(pair: Comparison, estimate: Estimate) -> Comparison:
    return replace(pair, estimate=estimate, p=estimate.p)


def _pairs(arms: Sequence[tuple[Arm, Arm]], alpha: float) -> dict[tuple[str, str], Comparison]:
    """Return the comparisons of these arms, without those that have no seeds in common."""
    found = {(a.name, b.name): compare_paired(a.outcome, b.outcome, alpha) for a, b in arms}
    return {names: pair for names, pair in found.items() if pair is not None}


def _planned(panel: Panel) -> list[tuple[Arm, Arm]]:
    """Return what the study was made for.

    Every arm against the baseline; against the same arm with a placebo for its score; and, where documents are
    selected, against the same selection in the baseline's order.
    """
    return [(arm, other) for arm in panel.arms for other in _opponents(panel, arm)]


def _opponents(panel: Panel, arm: Arm) -> list[Arm]:
    base = panel.baseline.labels if panel.baseline else None
    wanted = opponents(arm.labels, base, panel.placebos)
    return [other for labels in wanted for other in panel.arms if other.labels == labels]
