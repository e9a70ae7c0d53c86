"""Does a choice earn its cost? Scoring and selecting are charged to the arm, beside a baseline trained for as long."""

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from delt_exp.report.findings import Cell, Difference, Figure, Table
from delt_exp.study.comparison.arms import Arm, Panel
from delt_exp.study.comparison.cost import scaled
from delt_exp.study.figures import LINE, chooser, colour, figure, symbol

AXES = {"seconds": "scoring, selecting and training [s]", "flops": "scoring, selecting and training [FLOPs]"}


def cost_table(panel: Panel) -> Table:
    """Return what every arm cost, and whether its score and its selection earned it."""
    rows: list[list[Cell]] = []
    for arm in [*panel.arms, *panel.longer]:
        cost, pair = arm.cost, panel.at_equal_cost.get(arm.name)
        parts = (cost.training_flops, cost.scoring_flops, cost.selecting_flops, cost.total("flops"))
        seconds = (cost.training_seconds, cost.scoring_seconds, cost.selecting_seconds, cost.total("seconds"))
        rows.append([
            arm.name, arm.outcome.estimate.value, *seconds, *(scaled(value, 1e12) for value in parts),
            scaled(cost.peak_bytes, 1e9), Difference.of(pair), pair.verdict if pair else "",
        ])  # fmt: skip
    columns = [
        "arm", panel.arms[0].outcome.unit, "training [s]", "scoring [s]", "selecting [s]", "total [s]",
        "training [TFLOPs]", "scoring [TFLOPs]", "selecting [TFLOPs]", "total [TFLOPs]",
        "peak of scoring and selecting [GB]", "minus baseline at equal cost", "verdict",
    ]  # fmt: skip
    num_comparisons = max((pair.num_comparisons for pair in panel.at_equal_cost.values()), default=0)
    corrected = f"; Holm-corrected ({num_comparisons} comparisons)" if num_comparisons else ""
    note = (
        "Scoring and selecting are charged in full to every arm, with the models, gradients and annotations that they "
        "use, although arms share them. Selecting counts where a selector reads documents: gradients, and the training "
        "runs between its rounds; else it costs next to nothing, as ordering does. At equal cost: against the baseline "
        f"trained for the same total seconds, linear in log seconds between its budgets{corrected}. Empty: not "
        "recorded, or the baseline was not trained that long."
    )
    return Table("cost", "Cost and gain", note, columns, rows)


def cost_figure(panel: Panel) -> Figure | None:
    """Return the outcome over the total cost, the baseline at its budgets as a line; None where no cost is known."""
    arms = [arm for arm in [*panel.arms, *panel.longer] if arm.cost.total("seconds") is not None]
    if not arms:
        return None
    units = [unit for unit in AXES if unit == "seconds" or all(arm.cost.total(unit) for arm in arms)]
    plots = {unit: figure(_traces(panel, arms, unit), 480, yaxis_title=arms[0].outcome.unit) for unit in units}
    for unit, plot in plots.items():
        plot.update_xaxes(title=AXES[unit], type="log", tickformat="~s")
        # The ticks of all units, since a button does not change them.
        plot.update_xaxes(tickvals=[tick for each in units for tick in _ticks(arms, each)])
    note = (
        "The line is the baseline trained for longer: an arm earns the cost of its choice where it is better than it."
    )
    return Figure("cost", "Cost and gain", note, chooser(plots).to_plotly_json())


def _ticks(arms: Sequence[Arm], unit: str) -> list[float]:
    """Return 1, 2 and 5 times the powers of ten around the costs; Plotly would write 20 as 2."""
    costs = [math.log10(total) for arm in arms if (total := arm.cost.total(unit))]
    decades = range(math.floor(min(costs, default=0)), math.ceil(max(costs, default=0)) + 1)
    return [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]


def _traces(panel: Panel, arms: Sequence[Arm], unit: str) -> list[Any]:
    """Return the baseline at its budgets, then every other arm by its name."""
    budgets = [arm for arm in arms if arm is panel.baseline or arm in panel.longer]
    name = panel.baseline.name if panel.baseline else "baseline"
    groups = {f"{name} (baseline)": sorted(budgets, key=lambda arm: arm.tokens)}
    groups |= {arm.name: [arm] for arm in arms if arm not in budgets}
    traces = [
        go.Scatter(
            name=name,
            x=[arm.cost.total(unit) for arm in group],
            y=[arm.outcome.estimate.value for arm in group],
            text=[arm.name for arm in group],
            hovertemplate="%{text}<br>%{x:.4g}<br>%{y:.4f}<extra></extra>",
            mode="markers",
            marker={"color": colour(number - 1), "symbol": symbol(number - 1), "size": 9},
        )
        for number, (name, group) in enumerate(groups.items())
    ]
    traces[0].update(mode="lines+markers", marker={"color": LINE, "symbol": "circle"})
    return traces
