"""Does a score earn its cost? Scoring is charged to the arm, and compared with the baseline trained for as long."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from delt_exp.report.findings import Cell, Figure, Table
from delt_exp.report.stages import own_stage
from delt_exp.statistics.families import Comparison, holm
from delt_exp.study.comparison.arms import Arm, Panel
from delt_exp.study.comparison.leaderboard import difference
from delt_exp.study.comparison.outcomes import blend, compare_paired
from delt_exp.study.figures import COLOURS, LINE

EqualCost = Mapping[tuple[str, str], Comparison]
"""Arm minus the baseline at the same total seconds, by (panel, arm)."""


@dataclass(frozen=True)
class Cost:
    """Median cost of an arm over seeds, as if nothing had been shared with other arms; None: not recorded.

    Seconds are those of the computation, whenever and for whichever arm it happened. peak_bytes: the larger of the
    process's and the GPU's memory while scoring.
    """

    training_seconds: float
    training_flops: float
    scoring_seconds: float | None
    scoring_flops: float | None
    peak_bytes: float | None

    def total(self, unit: str) -> float | None:
        """Return training and scoring together, `unit` being seconds or flops."""
        scoring, training = getattr(self, f"scoring_{unit}"), getattr(self, f"training_{unit}")
        return None if scoring is None else scoring + training


def cost_of(arm: Arm) -> Cost:
    """Return what an arm cost."""
    charges = [_scoring(record) for record in arm.records]
    models = [own_stage(record, "model") for record in arm.records]
    scoring = [None if None in values else float(np.median(values)) for values in zip(*charges, strict=True)]
    seconds = float(np.median([model["cost"]["build_seconds"] for model in models]))
    flops = float(np.median([record["training"]["flops"] for record in arm.records]))
    return Cost(seconds, flops, *scoring)


def scaled(value: float | None, unit: float) -> float | None:
    """Return a number in multiples of `unit`, None for None."""
    return None if value is None else value / unit


def _scoring(record: Mapping[str, Any]) -> tuple[float | None, float | None, float | None]:
    """Return seconds, operations and peak memory of the scores and of all that they were made with."""
    used, flops = own_stage(record, "scores")["cost"].get("used"), record["score"]["flops"]
    if used is None:
        return None, flops, None
    peak = max(max(stage["peak_bytes"], stage["cuda_peak_bytes"]) for stage in used.values())
    return float(sum(stage["build_seconds"] for stage in used.values())), flops, float(peak)


def at_equal_cost(panels: Sequence[Panel], placebos: Sequence[str], alpha: float) -> EqualCost:
    """Return each arm with a score against the baseline of the same total seconds, as one family over all panels.

    The baseline's outcome between two of its budgets is taken as linear in the logarithm of the seconds. An arm that
    cost more than the longest baseline is not there.
    """
    found: dict[tuple[str, str], Comparison] = {}
    for panel in panels:
        curve = _baseline_curve(panel)
        for arm in panel.arms:
            if arm is panel.baseline or arm.labels.get("scorer") in placebos:
                continue
            total = cost_of(arm).total("seconds")
            pair = None if total is None else _against_curve(arm, curve, total, alpha)
            if pair is not None:
                found[panel.name, arm.name] = pair
    return dict(zip(found, holm(list(found.values())), strict=True))


def _baseline_curve(panel: Panel) -> list[tuple[float, Arm]]:
    """Return the baseline at each of its budgets with its total seconds, ascending."""
    arms = [panel.baseline, *panel.longer] if panel.baseline else []
    curve = [(total, arm) for arm in arms if (total := cost_of(arm).total("seconds")) is not None]
    return sorted(curve, key=lambda point: point[0])


def _against_curve(arm: Arm, curve: Sequence[tuple[float, Arm]], total: float, alpha: float) -> Comparison | None:
    above = next((i for i, (seconds, _) in enumerate(curve) if seconds >= total), None)
    if above is None:
        return None
    (low, first), (high, second) = curve[max(above - 1, 0)], curve[above]
    share = math.log(total / low) / math.log(high / low) if above else 0.0
    reached = blend(first.outcome, second.outcome, share)
    return None if reached is None else compare_paired(arm.outcome, reached, alpha)


def cost_table(panel: Panel, equal: EqualCost, suffix: str) -> Table:
    """Return what every arm cost, and whether its score earned it."""
    rows: list[list[Cell]] = []
    for arm in [*panel.arms, *panel.longer]:
        cost, pair = cost_of(arm), equal.get((panel.name, arm.name))
        flops = [scaled(value, 1e12) for value in (cost.training_flops, cost.scoring_flops, cost.total("flops"))]
        rows.append([
            arm.name, arm.outcome.estimate.value, cost.training_seconds, cost.scoring_seconds, cost.total("seconds"),
            *flops, scaled(cost.peak_bytes, 1e9), difference(pair), pair.verdict if pair else "",
        ])  # fmt: skip
    columns = [
        "arm", panel.arms[0].outcome.unit, "training [s]", "scoring [s]", "total [s]", "training [TFLOPs]",
        "scoring [TFLOPs]", "total [TFLOPs]", "peak of scoring [GB]", "minus baseline at equal cost", "verdict",
    ]  # fmt: skip
    note = (
        "Scoring is charged in full to every arm that uses it, with the models and annotations behind it, although "
        "arms share them; selecting and ordering cost next to nothing. At equal cost: against the baseline trained for "
        "the same total seconds, linear in log seconds between its budgets; Holm over "
        f"{len(equal)} comparisons. Empty: not recorded, or the baseline was not trained that long."
    )
    return Table(f"cost{suffix}", "Cost and gain", note, columns, rows)


def cost_figure(panel: Panel, suffix: str) -> Figure | None:
    """Return the outcome over the total cost, the baseline at its budgets as a line; None where no cost is known."""
    arms = [arm for arm in [*panel.arms, *panel.longer] if cost_of(arm).total("seconds") is not None]
    if not arms:
        return None
    units = {"seconds": "scoring and training [s]"}
    if all(cost_of(arm).total("flops") for arm in arms):
        units["flops"] = "scoring and training [FLOPs]"
    per_unit = [_traces(panel, arms, unit) for unit in units]
    data = [{**trace, "visible": n == 0} for n, traces in enumerate(per_unit) for trace in traces]
    buttons = []
    for chosen, (unit, title) in enumerate(units.items()):
        visible = [n == chosen for n, traces in enumerate(per_unit) for _ in traces]
        buttons.append({"label": unit, "method": "update", "args": [{"visible": visible}, {"xaxis.title.text": title}]})
    layout = {
        "height": 520, "margin": {"t": 60}, "hovermode": "closest", "yaxis": {"title": {"text": arms[0].outcome.unit}},
        "xaxis": {"title": {"text": units["seconds"]}, "type": "log", "tickformat": "~s",
                  "tickvals": [tick for unit in units for tick in _ticks(arms, unit)]},
        "updatemenus": [{"type": "buttons", "direction": "right", "x": 0, "y": 1.12, "xanchor": "left",
                         "buttons": buttons}],
    }  # fmt: skip
    note = "The line is the baseline trained for longer: an arm earns the cost of its score where it is better than it."
    return Figure(f"cost{suffix}", "Cost and gain", note, {"data": data, "layout": layout})


def _ticks(arms: Sequence[Arm], unit: str) -> list[float]:
    """Return 1, 2 and 5 times the powers of ten around the costs; Plotly would write 20 as 2."""
    costs = [math.log10(total) for arm in arms if (total := cost_of(arm).total(unit))]
    decades = range(math.floor(min(costs, default=0)), math.ceil(max(costs, default=0)) + 1)
    return [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]


def _traces(panel: Panel, arms: Sequence[Arm], unit: str) -> list[dict[str, Any]]:
    curve = [arm for arm in arms if arm is panel.baseline or arm in panel.longer]
    groups = {"baseline": sorted(curve, key=lambda arm: arm.tokens)}
    for arm in arms:
        if arm not in curve:
            groups.setdefault(arm.choice("scorer"), []).append(arm)
    return [
        {
            "type": "scatter", "mode": "lines+markers" if number == 0 else "markers", "name": name,
            "x": [cost_of(arm).total(unit) for arm in group], "y": [arm.outcome.estimate.value for arm in group],
            "text": [arm.name for arm in group], "hovertemplate": "%{text}<br>%{x:.4g}<br>%{y:.4f}<extra></extra>",
            "marker": {"color": LINE if number == 0 else COLOURS[(number - 1) % len(COLOURS)], "size": 9},
        }
        for number, (name, group) in enumerate(groups.items())
    ]  # fmt: skip
