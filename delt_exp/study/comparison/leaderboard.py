"""Which arms are better, and how sure: leaderboard with intervals, planned comparisons, and all pairs."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from delt_exp.report.findings import Cell, Figure, Ranged, Table
from delt_exp.statistics.families import Comparison, holm
from delt_exp.study.comparison.arms import Arm, Panel
from delt_exp.study.comparison.outcomes import compare_paired
from delt_exp.study.figures import COLOURS

Pairs = Mapping[tuple[str, str, str], Comparison]
"""Comparisons by (panel, first arm, second arm)."""


def planned(panels: Sequence[Panel], placebos: Sequence[str], alpha: float) -> Pairs:
    """Return what the study was made for, as one family over all panels.

    Every arm against the baseline; against the same arm with a placebo for its score; and, where documents are
    selected, against the same selection in the baseline's order.
    """
    found: dict[tuple[str, str, str], Comparison] = {}
    for panel in panels:
        for arm in panel.arms:
            for other in _opponents(panel, arm, placebos):
                _add(found, panel, arm, other, alpha)
    return dict(zip(found, holm(list(found.values())), strict=True))


def every_pair(panels: Sequence[Panel], alpha: float) -> Pairs:
    """Return every two arms of a panel, as one family over all panels."""
    found: dict[tuple[str, str, str], Comparison] = {}
    for panel in panels:
        for first, second in combinations(panel.arms, 2):
            _add(found, panel, first, second, alpha)
    return dict(zip(found, holm(list(found.values())), strict=True))


def ranked(panel: Panel, pairs: Pairs) -> list[Arm]:
    """Return the arms, best first: by the difference from the baseline over common seeds, else by the value."""

    def worth(arm: Arm) -> tuple[float, str]:
        turn = -1 if arm.outcome.better == "higher" else 1
        pair = against_baseline(panel, arm, pairs)
        base = panel.baseline.outcome.estimate.value if panel.baseline else 0.0
        value = base + pair.estimate.value if pair else arm.outcome.estimate.value
        return turn * value, arm.name

    return sorted(panel.arms, key=worth)


def against_baseline(panel: Panel, arm: Arm, pairs: Pairs) -> Comparison | None:
    """Return the planned comparison with the baseline; None for the baseline, or without one."""
    return pairs.get((panel.name, arm.name, panel.baseline.name)) if panel.baseline else None


def against_placebos(panel: Panel, arm: Arm, pairs: Pairs, placebos: Sequence[str]) -> dict[str, Comparison]:
    """Return the planned comparisons with the same arm under each placebo, by placebo."""
    found = {}
    for placebo in placebos:
        other = panel.like(arm, scorer=placebo)
        pair = pairs.get((panel.name, arm.name, other.name)) if other else None
        if pair is not None and arm.labels.get("scorer") not in placebos:
            found[placebo] = pair
    return found


def leaderboard_table(panel: Panel, pairs: Pairs, placebos: Sequence[str], alpha: float, suffix: str) -> Table:
    """Return one row an arm, best first."""
    outcome = panel.arms[0].outcome
    rows: list[list[Cell]] = []
    for rank, arm in enumerate(ranked(panel, pairs), 1):
        estimate, pair = arm.outcome.estimate, against_baseline(panel, arm, pairs)
        against = against_placebos(panel, arm, pairs, placebos)
        placebo = "; ".join(f"{name}: {one.verdict}" for name, one in against.items())
        value = Ranged(estimate.value, *estimate.interval(alpha))
        rows.append([rank, arm.name, value, len(arm.runs), difference(pair), pair.verdict if pair else "", placebo])
    columns = ["rank", "arm", outcome.unit, "seeds", "minus baseline", "verdict", "against the placebo"]
    note = (
        f"With {100 * (1 - alpha):g} % intervals over {outcome.estimate.over}. Those of two arms may overlap where "
        f"their paired difference is clear, so read the difference. {' '.join(panel.remarks)}"
    )
    return Table(f"leaderboard{suffix}", "Leaderboard", note, columns, rows)


def difference(pair: Comparison | None) -> Ranged | None:
    """Return the difference of a pair as a cell."""
    return Ranged(pair.estimate.value, *pair.interval) if pair else None


def pairs_table(name: str, title: str, pairs: Pairs) -> Table:
    """Return one row a pair, the surest first."""
    has_panels = any(panel for panel, _, _ in pairs)
    rows: list[list[Cell]] = []
    for (panel, _, _), one in sorted(pairs.items(), key=lambda item: item[1].p):
        rows.append([
            *([panel] if has_panels else []), one.first, one.second, difference(one), one.p, one.p_holm,
            one.effect_size, one.detectable, one.estimate.over, one.verdict,
        ])  # fmt: skip
    columns = [
        *(["panel"] if has_panels else []), "first", "second", "first minus second", "p", "p (Holm)", "effect size",
        "smallest in reach", "over", "verdict of the first",
    ]  # fmt: skip
    note = (
        f"Over common seeds and documents; Holm over these {len(rows)} comparisons. Smallest in reach: the true "
        "difference that this study finds with probability 0.8."
    )
    return Table(name, title, note, columns, rows)


def leaderboard_figure(panel: Panel, pairs: Pairs, placebos: Sequence[str], suffix: str) -> Figure:
    """Return the difference of every arm from the baseline with its interval."""
    rows = [(arm, pair) for arm in ranked(panel, pairs)[::-1] if (pair := against_baseline(panel, arm, pairs))]
    is_placebo = [arm.labels.get("scorer") in placebos for arm, _ in rows]
    data = []
    for name, wanted, colour in (("score", False, COLOURS[0]), ("placebo", True, COLOURS[4])):
        shown = [(arm.name, pair) for (arm, pair), placebo in zip(rows, is_placebo, strict=True) if placebo == wanted]
        values = [pair.estimate.value for _, pair in shown]
        error = {
            "type": "data", "symmetric": False,
            "array": [pair.interval[1] - pair.estimate.value for _, pair in shown],
            "arrayminus": [pair.estimate.value - pair.interval[0] for _, pair in shown],
        }  # fmt: skip
        data.append({
            "type": "scatter", "mode": "markers", "name": name, "x": values, "y": [arm for arm, _ in shown],
            "error_x": error, "text": [pair.verdict for _, pair in shown], "marker": {"color": colour, "size": 8},
            "hovertemplate": "%{y}<br>%{x:+.4g}<br>%{text}<extra></extra>",
        })  # fmt: skip
    unit = panel.arms[0].outcome.unit
    baseline = panel.baseline.name if panel.baseline else "the baseline"
    layout = {
        "height": 120 + 22 * len(rows), "margin": {"l": 10, "t": 30},
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        "xaxis": {"title": {"text": f"difference from {baseline} [{unit}]"}},
        "yaxis": {"automargin": True, "categoryorder": "array", "categoryarray": [arm.name for arm, _ in rows]},
    }  # fmt: skip
    note = (
        f"Best on top; {panel.arms[0].outcome.better} is better. Intervals of the paired differences, each on its own."
    )
    return Figure(f"leaderboard{suffix}", "Every arm against the baseline", note, {"data": data, "layout": layout})


def _opponents(panel: Panel, arm: Arm, placebos: Sequence[str]) -> list[Arm]:
    candidates = [panel.baseline]
    if arm.labels.get("scorer") not in placebos:
        candidates += [panel.like(arm, scorer=placebo) for placebo in placebos]
    if panel.baseline is not None and "orderer" in panel.baseline.labels:
        candidates.append(panel.like(arm, orderer=panel.baseline.labels["orderer"]))
    return [other for other in dict.fromkeys(candidates) if other is not None and other is not arm]


def _add(found: dict[tuple[str, str, str], Comparison], panel: Panel, first: Arm, second: Arm, alpha: float) -> None:
    pair = compare_paired(first.outcome, second.outcome, alpha)
    if pair is not None:
        found[panel.name, first.name, second.name] = pair
