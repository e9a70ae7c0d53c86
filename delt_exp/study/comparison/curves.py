"""Pictures of a comparison: scorer against orderer, a dimension of numbers, and training loss."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pyarrow.csv
from numpy.typing import NDArray

from delt_exp.errors import ConfigError
from delt_exp.report.columns import column_texts
from delt_exp.report.facts import loss_unit
from delt_exp.report.findings import Difference, Figure
from delt_exp.statistics.families import Comparison
from delt_exp.study.comparison.arms import Arm, Panel
from delt_exp.study.comparison.gain import gain
from delt_exp.study.figures import BLUE_TO_RED, LINE, chooser, colour, error_bars, figure, heat_map

CURVE_POINTS = 60  # of a curve of the training loss; more could not be told apart
SHOWN_CURVES = 8  # the others wait in the legend
PAIRED = " of the paired difference; 0 is the baseline"
ASIDE = 0.006  # of the axis, from one line to the next

Grid = Mapping[tuple[str, str], Arm]
"""Arms by scorer and orderer."""


def scorer_and_orderer(panel: Panel) -> Figure | None:
    """Return the difference from the baseline by scorer and orderer; buttons choose the rest of the arm.

    None where no two arms differ in scorer or orderer within one choice of the rest.
    """
    grids: dict[str, dict[tuple[str, str], Arm]] = {}
    for arm in panel.arms:
        if arm is not panel.baseline:
            rest = arm.without("scorer", "orderer") or "all"
            grids.setdefault(rest, {})[arm.choice("scorer"), arm.choice("orderer")] = arm
    if panel.baseline is None or all(len(grid) < 2 for grid in grids.values()):
        return None
    differences = [abs(pair.estimate.value) for arm in panel.arms if (pair := panel.against_baseline(arm))]
    bound = max(differences, default=0.0) or 1.0  # one scale for all grids, white in its middle
    plots = {rest: _grid(panel, grid, bound) for rest, grid in grids.items()}
    fullest = max(grids, key=lambda rest: len(grids[rest]))
    note = (
        f"Difference from {panel.baseline.name} [{panel.baseline.outcome.unit}], blue is better; * better or worse "
        "after Holm's correction. Empty: not part of this study."
    )
    return Figure("heatmap", "Scorer and orderer", note, chooser(plots, fullest).to_plotly_json())


def _grid(panel: Panel, grid: Grid, bound: float) -> Any:
    """Return one cell for each scorer and orderer of the grid, empty where there is no comparison."""
    scorers = list(dict.fromkeys(scorer for scorer, _ in grid))
    orderers = list(dict.fromkeys(orderer for _, orderer in grid))

    def pair(scorer: str, orderer: str) -> Comparison | None:
        arm = grid.get((scorer, orderer))
        return panel.against_baseline(arm) if arm else None

    pairs = [[pair(scorer, orderer) for orderer in orderers] for scorer in scorers]
    found = [one for row in pairs for one in row if one]
    texts = dict(zip(map(id, found), column_texts([Difference.of(one) for one in found]), strict=True))
    trace = go.Heatmap(
        x=orderers,
        y=scorers,
        z=[[one.estimate.value if one else None for one in row] for row in pairs],
        text=[[_shown(one, texts[id(one)].value) if one else "" for one in row] for row in pairs],
        texttemplate="%{text}",
        hovertemplate="%{y} · %{x}<br>%{text}<extra></extra>",
        colorscale=BLUE_TO_RED,
        reversescale=panel.arms[0].outcome.better == "higher",
        zmin=-bound,
        zmax=bound,
    )
    return heat_map(trace, "orderer", "scorer")


def _shown(pair: Comparison, value: str) -> str:
    return value.replace("-", "−") + (" *" if pair.is_clear else "")


def dimension_curve(panel: Panel, dimension: str, alpha: float) -> Figure | None:
    """Return the outcome over a dimension whose choices are numbers, one line for the rest of the arm; None without."""
    lines: dict[str, list[tuple[float, Arm]]] = {}
    for arm in panel.arms:
        if dimension in arm.labels and arm is not panel.baseline:
            point = _number(dimension, arm.labels[dimension]), arm
            lines.setdefault(arm.without(dimension), []).append(point)
    lines = {rest: sorted(points, key=lambda point: point[0]) for rest, points in lines.items() if len(points) > 1}
    if not lines:
        return None
    traces = [
        _line(panel, rest, points, alpha, number, len(lines)) for number, (rest, points) in enumerate(lines.items())
    ]
    plot = figure(traces, 420, xaxis_title=dimension, yaxis_title=_measure(panel), showlegend=True)
    note = (
        f"Mean and {100 * (1 - alpha):g} % interval{PAIRED if panel.baseline else ''}; "
        f"{panel.arms[0].outcome.better} is better. Every arm trains on {panel.arms[0].tokens:,.0f} tokens. Points "
        "with the same position are drawn side by side."
    )
    return Figure("curve", f"Outcome by {dimension}", note, plot.to_plotly_json())


def _measure(panel: Panel) -> str:
    unit = panel.arms[0].outcome.unit
    return f"difference from {panel.baseline.name} [{unit}]" if panel.baseline else unit


def _number(dimension: str, label: str) -> float:
    try:
        return float(label)
    except ValueError:
        raise ConfigError(
            f"study.report.curve={dimension}: its choice {label!r} is not a number; name another dimension, or null"
        ) from None


def _line(
    panel: Panel, name: str, points: Sequence[tuple[float, Arm]], alpha: float, number: int, of: int
) -> Any:  # fmt: skip
    cells = [gain(panel, arm, alpha) for _, arm in points]
    aside = (number - (of - 1) / 2) * ASIDE * (points[-1][0] - points[0][0])  # so that intervals do not hide each other
    return go.Scatter(
        name=name,
        x=[x + aside for x, _ in points],
        y=[cell.value for cell in cells],
        error_y={**error_bars(cells), "thickness": 1, "width": 2},
        mode="lines+markers",
        line_color=colour(number),
    )


def training_curves(panel: Panel) -> Figure:
    """Return the training loss over tokens, mean over seeds; the baseline and the best arms are shown at first."""
    order = sorted(panel.ranked, key=lambda arm: arm is not panel.baseline)
    traces = []
    for number, arm in enumerate(order):
        tokens, loss = _training_curve(arm)
        traces.append(
            go.Scatter(
                name=arm.name,
                x=tokens.tolist(),
                y=loss.tolist(),
                mode="lines",
                line_color=LINE if arm is panel.baseline else colour(number),
                visible=True if number < SHOWN_CURVES else "legendonly",
            )
        )
    units = " or ".join(sorted({loss_unit(record) for arm in order for record in arm.records}))
    plot = figure(traces, 520, xaxis_title="trained tokens", yaxis_title=f"training loss [{units}]", showlegend=True)
    note = (
        "Loss on the documents that an arm is training on, which differ between arms: it shows how training went, "
        "not which arm is better. Click a name to show or hide it."
    )
    return Figure("training", "Training loss", note, plot.to_plotly_json())


def _training_curve(arm: Arm) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return tokens and loss of at most CURVE_POINTS points, each the token mean of its part of the training run."""
    tables = [pyarrow.csv.read_csv(Path(run.folder) / "metrics.csv") for run in arm.runs.values()]
    tokens = np.concatenate([table["tokens"].to_numpy() for table in tables]).astype(np.float64)
    loss = np.concatenate([table["train/loss"].to_numpy() for table in tables])
    sizes = np.concatenate([np.diff(table["tokens"].to_numpy(), prepend=0) for table in tables])
    part = np.minimum((tokens / tokens.max() * CURVE_POINTS).astype(int), CURVE_POINTS - 1)
    weight = np.bincount(part, sizes, CURVE_POINTS)
    used = weight > 0
    means = [np.bincount(part, sizes * values, CURVE_POINTS)[used] / weight[used] for values in (tokens, loss)]
    return means[0], means[1]
