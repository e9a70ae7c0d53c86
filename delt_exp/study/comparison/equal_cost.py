"""Each arm against the baseline that was trained for as long as the arm took, its score and its selection included."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from delt_exp.statistics.families import Comparison
from delt_exp.study.comparison.arms import Arm, Panel
from delt_exp.study.comparison.outcomes import blend, compare_paired


def at_equal_cost(panel: Panel, alpha: float) -> dict[str, Comparison]:
    """Return each arm that cost more than the baseline against that of the same total seconds, by the name of the arm.

    The baseline's outcome between two of its budgets is taken as linear in the logarithm of the seconds; where it was
    better after fewer, as training on few documents is, it stops there. An arm that cost more than the longest baseline
    is not there.
    """
    curve = _baseline_curve(panel)
    arms = [arm for arm in _asked_to_pay(panel) if not _is_free(panel, arm)]
    found = {arm.name: _against_curve(arm, curve, arm.cost.total("seconds") or 0.0, alpha) for arm in arms}
    return {name: pair for name, pair in found.items() if pair is not None}


def _asked_to_pay(panel: Panel) -> list[Arm]:
    """Return the arms with a score whose cost is known."""
    others = [arm for arm in panel.arms if arm is not panel.baseline and not panel.is_placebo(arm)]
    return [arm for arm in others if arm.cost.total("seconds") is not None]


def _is_free(panel: Panel, arm: Arm) -> bool:
    """Whether an arm took no longer than the baseline; both must be known."""
    base, own = (one.cost.total("seconds") if one else None for one in (panel.baseline, arm))
    return base is not None and own is not None and own <= base


def _baseline_curve(panel: Panel) -> list[tuple[float, Arm]]:
    """Return the baseline at each of its budgets with its total seconds, ascending."""
    arms = [panel.baseline, *panel.longer] if panel.baseline else []
    curve = [(total, arm) for arm in arms if (total := arm.cost.total("seconds")) is not None]
    return sorted(curve, key=lambda point: point[0])


def _against_curve(arm: Arm, curve: Sequence[tuple[float, Arm]], total: float, alpha: float) -> Comparison | None:
    above = next((i for i, (seconds, _) in enumerate(curve) if seconds >= total), None)
    if above is None:
        return None
    (low, first), (high, second) = curve[above - 1], curve[above]
    share = math.log(total / low) / math.log(high / low)
    reached = [blend(first.outcome, second.outcome, share), *(shorter.outcome for _, shorter in curve[:above])]
    pairs = [pair for one in reached if one is not None and (pair := compare_paired(arm.outcome, one, alpha))]
    if reached[0] is None or not pairs:
        return None
    return min(pairs, key=lambda pair: pair.estimate.value * (1 if pair.better == "higher" else -1))


def with_free(
    panel: Panel, planned: Mapping[tuple[str, str], Comparison], equal: Mapping[str, Comparison]
) -> dict[str, Comparison]:  # fmt: skip
    """Return the comparisons at equal cost of all arms that have one.

    An arm that costs no more than the baseline has the planned comparison, which is not tested again in another family.
    """
    base = panel.baseline.name if panel.baseline else ""
    free = [arm for arm in _asked_to_pay(panel) if _is_free(panel, arm) and (arm.name, base) in planned]
    return {**equal, **{arm.name: planned[arm.name, base] for arm in free}}


def earned(equal: Comparison, p_gain: float) -> Comparison:
    """Return a comparison at equal cost whose claim includes that the arm gains at all, which has this corrected p.

    Both have to be shown, so that the weaker test decides (intersection-union test, Berger 1982).
    """
    return replace(equal, p_holm=max(equal.p_holm, p_gain)) if equal.favours_first else equal
