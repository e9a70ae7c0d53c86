"""Does a choice earn its cost? Scoring and selecting are charged to the arm, beside a baseline trained for as long."""

from delt_exp.quantity import Below
from delt_exp.report.findings import Cell, Difference, Figure, Table
from delt_exp.study.comparison.arms import Arm, Panel
from delt_exp.study.comparison.cost import Cost, scaled
from delt_exp.study.comparison.gain import gain
from delt_exp.study.comparison.pareto import Point, pareto
from delt_exp.study.figures import chooser

UNITS = ("seconds", "flops")


def cost_table(panel: Panel) -> Table:
    """Return what every arm cost, and whether its score and its selection earned it."""
    rows: list[list[Cell]] = []
    for arm in [*panel.arms, *panel.longer]:
        cost, pair = arm.cost, panel.at_equal_cost.get(arm.name)
        scoring: Cell = cost.scoring_seconds
        if isinstance(choosing := cost.choosing("seconds"), Below):
            scoring = choosing
        parts = (cost.training_flops, cost.scoring_flops, cost.selecting_flops, cost.total("flops"))
        seconds = (cost.training_seconds, scoring, cost.selecting_seconds, cost.total("seconds"))
        rows.append([
            arm.name, pair.verdict if pair else "", Difference.of(pair), arm.outcome.estimate.value, *seconds,
            *(scaled(value, 1e12) for value in parts), scaled(cost.peak_bytes, 1e9),
        ])  # fmt: skip
    columns = [
        "arm", "verdict", "minus baseline at equal cost", panel.arms[0].outcome.unit,
        *(f"{part} [{panel.arms[0].cost.unit}]" for part in ("training", "scoring", "selecting", "total")),
        "training [TFLOPs]", "scoring [TFLOPs]", "selecting [TFLOPs]", "total [TFLOPs]",
        "peak of scoring and selecting [GB]",
    ]  # fmt: skip
    tested = [pair for pair in panel.at_equal_cost.values() if pair not in panel.planned.values()]
    num_comparisons = max((pair.num_comparisons for pair in tested), default=0)
    corrected = f"; Holm-corrected ({num_comparisons} comparisons)" if num_comparisons else ""
    note = (
        "Scoring and selecting are charged in full to every arm, with the models, gradients and annotations that they "
        "use, although arms share them. Selecting counts where a selector reads documents (gradients, and the training "
        "runs between its rounds) or near-duplicates are left out; otherwise it costs next to nothing, like ordering. "
        "Training has one speed for all arms of a recipe, a score its median over all runs with it; a cost below 1 % "
        "of the baseline's training is shown as smaller and counts as 0. At equal cost: against the baseline trained "
        f"for the same total seconds, linear in log seconds between its budgets{corrected}; an arm that took no longer "
        "than the baseline has the planned comparison. Better: shown to gain, and to gain more than that. Empty: not "
        "recorded, or the baseline was not trained that long."
    )
    return Table("cost", "What every arm cost", note, columns, rows)


def cost_figure(panel: Panel, alpha: float) -> Figure | None:
    """Return the gain over the total cost, the baseline at its budgets as a line; None where no cost is known."""
    arms = [arm for arm in [*panel.arms, *panel.longer] if arm.cost.total("seconds") is not None]
    if not arms:
        return None
    outcome = arms[0].outcome
    what = f"difference from {panel.baseline.name}" if panel.baseline else "outcome"
    y_title, turn = f"{what} [{outcome.unit}]<br>worse ← → better", 1 if outcome.better == "higher" else -1
    units = [unit for unit in UNITS if unit == "seconds" or all(arm.cost.total(unit) for arm in arms)]
    plots = {
        unit: pareto([_point(panel, arm, unit, alpha) for arm in arms], turn, _axis(unit, arms[0].cost), y_title)
        for unit in units
    }
    for plot in plots.values():  # the ticks of all units, since a button does not change them
        plot.update_xaxes(tickvals=[tick for one in plots.values() for tick in one.layout.xaxis.tickvals])
    note = (
        "Up is better, left is cheaper. The dotted line joins the arms that no cheaper one matches. The grey line is "
        "the baseline trained for longer: an arm earns the cost of its choice where it lies above it. Intervals of the "
        "differences are uncorrected; hollow: not distinguishable from the baseline after Holm's correction."
    )
    return Figure("cost", "Cost and gain", note, chooser(plots).to_plotly_json())


def _axis(unit: str, cost: Cost) -> str:
    return f"scoring, selecting and training [{cost.unit if unit == 'seconds' else 'FLOPs'}]"


def _point(panel: Panel, arm: Arm, unit: str, alpha: float) -> Point:
    """Return an arm with its difference from the baseline, or its own value without one."""
    is_budget, planned = arm is panel.baseline or arm in panel.longer, panel.against_baseline(arm)
    difference = gain(panel, arm, alpha)
    is_clear = is_budget or (planned is not None and planned.is_clear)
    kind = "baseline" if is_budget else "placebo" if panel.is_placebo(arm) else "score"
    return Point(arm.name, kind, arm.cost.total(unit) or 0.0, difference, is_clear)
