"""Which arms are better, and how sure: leaderboard with intervals, planned comparisons, and all pairs."""

from collections.abc import Sequence

import plotly.graph_objects as go

from delt_exp.quantity import Ranged
from delt_exp.report.findings import Cell, Figure, Table
from delt_exp.statistics.families import Comparison
from delt_exp.study.comparison.arms import Panel
from delt_exp.study.comparison.pairs import Pairs
from delt_exp.study.figures import colour, error_bars, figure


def leaderboard_table(panel: Panel, alpha: float) -> Table:
    """Return one row per arm, best first."""
    outcome = panel.arms[0].outcome
    rows: list[list[Cell]] = []
    for rank, arm in enumerate(panel.ranked, 1):
        estimate, pair = arm.outcome.estimate, panel.against_baseline(arm)
        placebo = "; ".join(f"{name}: {one.verdict}" for name, one in panel.against_placebos(arm).items())
        value = Ranged(estimate.value, *estimate.interval(alpha))
        rows.append([rank, arm.name, value, len(arm.runs), difference(pair), pair.verdict if pair else "", placebo])
    columns = ["rank", "arm", outcome.unit, "seeds", "minus baseline", "verdict", "against the placebo"]
    note = (
        f"With {100 * (1 - alpha):g} % intervals over {outcome.estimate.over}. Those of two arms may overlap where "
        f"their paired difference is clear, so read the difference. {' '.join(panel.remarks)}"
    )
    return Table("leaderboard", "Leaderboard", note, columns, rows)


def difference(pair: Comparison | None) -> Ranged | None:
    """Return the difference of a pair as a cell."""
    return Ranged(pair.estimate.value, *pair.interval) if pair else None


def pairs_table(name: str, title: str, panels: Sequence[Panel], pairs: Sequence[Pairs]) -> Table:
    """Return one row per pair, the surest first; `pairs`: those of each panel."""
    has_panels = any(panel.name for panel in panels)
    every = [(panel.name, one) for panel, found in zip(panels, pairs, strict=True) for one in found.values()]
    rows: list[list[Cell]] = []
    for panel_name, one in sorted(every, key=lambda item: item[1].p):
        rows.append([
            *([panel_name] if has_panels else []), one.first, one.second, difference(one), one.p, one.p_holm,
            one.effect_size, one.detectable, one.estimate.over, one.verdict,
        ])  # fmt: skip
    columns = [
        *(["panel"] if has_panels else []), "first", "second", "first minus second", "p", "p (Holm)", "effect size",
        "minimum detectable effect", "over", "verdict of the first",
    ]  # fmt: skip
    note = (
        f"Paired over shared seeds and documents; Holm-corrected ({len(rows)} comparisons). Minimum detectable "
        "effect: the true difference that this study finds with 80 % power."
    )
    return Table(name, title, note, columns, rows)


def leaderboard_figure(panel: Panel) -> Figure:
    """Return the difference of every arm from the baseline with its interval."""
    rows = [(arm, pair) for arm in panel.ranked[::-1] if (pair := panel.against_baseline(arm))]
    traces = []
    for name, is_placebo, number in (("score", False, 0), ("placebo", True, 4)):
        shown = [(arm, pair) for arm, pair in rows if panel.is_placebo(arm) == is_placebo]
        traces.append(
            go.Scatter(
                name=name,
                x=[pair.estimate.value for _, pair in shown],
                y=[arm.name for arm, _ in shown],
                error_x=error_bars([Ranged(pair.estimate.value, *pair.interval) for _, pair in shown]),
                text=[pair.verdict for _, pair in shown],
                hovertemplate="%{y}<br>%{x:+.4g}<br>%{text}<extra></extra>",
                mode="markers",
                marker={"color": colour(number), "size": 8},
            )
        )
    baseline, outcome = panel.baseline.name if panel.baseline else "the baseline", panel.arms[0].outcome
    plot = figure(
        traces,
        120 + 22 * len(rows),
        margin={"l": 10, "t": 30},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        xaxis_title=f"difference from {baseline} [{outcome.unit}]",
        yaxis={"automargin": True, "categoryorder": "array", "categoryarray": [arm.name for arm, _ in rows]},
    )
    note = f"Best on top; {outcome.better} is better. Intervals of the paired differences, each on its own."
    return Figure("leaderboard", "Every arm against the baseline", note, plot.to_plotly_json())
