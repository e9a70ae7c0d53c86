"""Which arms of a study are compared, each kind of question as one family over all panels."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TypeVar

from delt_exp.statistics.families import Comparison, holm
from delt_exp.statistics.moderated import moderated
from delt_exp.statistics.paired import Estimate
from delt_exp.study.comparison.arms import Arm, Panel
from delt_exp.study.comparison.outcomes import blend, compare_paired

Key = TypeVar("Key")
Pairs = Mapping[tuple[str, str], Comparison]
"""Comparisons by the names of the two arms."""


def compared(panels: Sequence[Panel], alpha: float) -> list[Panel]:
    """Return the panels with their planned comparisons and those at equal cost."""
    planned = _corrected([_pairs(_planned(panel), alpha) for panel in panels])
    equal = _corrected([_at_equal_cost(panel, alpha) for panel in panels])
    return _with_pairs(panels, planned, equal)


def baseline_apart(panels: Sequence[Panel], alpha: float) -> list[Panel]:
    """Return what `compared` does, with the planned comparisons as two families: those with the baseline, and others.

    Each family is corrected on its own, as are those at equal cost, with moderated variances. For a claim that an arm
    beats the baseline and its placebos too: all of these tests have to be passed, so that the claim needs no correction
    for their number (intersection-union test, Berger 1982), only for that of claims.
    """

    planned = [_pairs(_planned(panel), alpha) for panel in panels]
    bases = [panel.baseline.name if panel.baseline else None for panel in panels]
    with_base, others = (
        _corrected(_moderated([
            {names: pair for names, pair in pairs.items() if (names[1] == base) is wanted}
            for pairs, base in zip(planned, bases, strict=True)
        ]))
        for wanted in (True, False)
    )  # fmt: skip
    equal = _corrected(_moderated([_at_equal_cost(panel, alpha) for panel in panels]))
    return _with_pairs(panels, [one | other for one, other in zip(with_base, others, strict=True)], equal)


def _with_pairs(
    panels: Sequence[Panel], planned: Sequence[Pairs], equal: Sequence[Mapping[str, Comparison]]
) -> list[Panel]:  # fmt: skip
    return [
        replace(panel, planned=pairs, at_equal_cost=costs)
        for panel, pairs, costs in zip(panels, planned, equal, strict=True)
    ]


def every_pair(panels: Sequence[Panel], alpha: float) -> list[Pairs]:
    """Return every two arms of each panel."""
    return [*_corrected([_pairs(list(combinations(panel.arms, 2)), alpha) for panel in panels])]


def _corrected(families: Sequence[Mapping[Key, Comparison]]) -> list[dict[Key, Comparison]]:
    """Return the comparisons with Holm's correction over all of them together."""
    corrected = iter(holm([pair for pairs in families for pair in pairs.values()]))
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


def _at_equal_cost(panel: Panel, alpha: float) -> dict[str, Comparison]:
    """Return each arm with a score against the baseline of the same total seconds, by the name of the arm.

    The baseline's outcome between two of its budgets is taken as linear in the logarithm of the seconds; where it was
    better after fewer, as training on few documents is, it stops there. An arm that cost more than the longest baseline
    is not there.
    """
    curve = _baseline_curve(panel)
    found: dict[str, Comparison] = {}
    for arm in panel.arms:
        total = arm.cost.total("seconds")
        if arm is panel.baseline or panel.is_placebo(arm) or total is None:
            continue
        pair = _against_curve(arm, curve, total, alpha)
        if pair is not None:
            found[arm.name] = pair
    return found


def _baseline_curve(panel: Panel) -> list[tuple[float, Arm]]:
    """Return the baseline at each of its budgets with its total seconds, ascending."""
    arms = [panel.baseline, *panel.longer] if panel.baseline else []
    curve = [(total, arm) for arm in arms if (total := arm.cost.total("seconds")) is not None]
    return sorted(curve, key=lambda point: point[0])


def _against_curve(arm: Arm, curve: Sequence[tuple[float, Arm]], total: float, alpha: float) -> Comparison | None:
    above = next((i for i, (seconds, _) in enumerate(curve) if seconds >= total), None)
    if above is None:
        return None
    (low, first), (high, second) = curve[max(above - 1, 0)], curve[above]
    share = math.log(total / low) / math.log(high / low) if above else 0.0
    reached = [blend(first.outcome, second.outcome, share), *(shorter.outcome for _, shorter in curve[:above])]
    pairs = [pair for one in reached if one is not None and (pair := compare_paired(arm.outcome, one, alpha))]
    if reached[0] is None or not pairs:
        return None
    return min(pairs, key=lambda pair: pair.estimate.value * (1 if pair.better == "higher" else -1))
