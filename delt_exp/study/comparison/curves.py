"""Pictures of a comparison: scorer against orderer, a dimension of numbers, and training loss."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
from numpy.typing import NDArray

from delt_exp.errors import ConfigError
from delt_exp.report.findings import Figure
from delt_exp.study.comparison.arms import Arm, Panel
from delt_exp.study.comparison.leaderboard import Pairs, against_baseline, ranked
from delt_exp.study.figures import BLUE_TO_RED, COLOURS, LINE

CURVE_POINTS = 60  # of a training curve; more could not be told apart
SHOWN_CURVES = 8  # the others wait in the legend


def heat_map(panel: Panel, pairs: Pairs, suffix: str) -> Figure | None:
    """Return the difference from the baseline by scorer and orderer; buttons choose the rest of the arm.

    None where no two arms differ in scorer or orderer within one choice of the rest.
    """
    cells: dict[str, dict[tuple[str, str], Arm]] = {}
    for arm in panel.arms:
        if arm is not panel.baseline:
            rest = " · ".join(label for key, label in arm.labels.items() if key not in ("scorer", "orderer"))
            cells.setdefault(rest, {})[arm.choice("scorer"), arm.choice("orderer")] = arm
    if panel.baseline is None or not any(len(grid) > 1 for grid in cells.values()):
        return None
    data = [_grid(panel, grid, pairs) for grid in cells.values()]
    shown = max(range(len(data)), key=lambda i: len(list(cells.values())[i]))
    bound = max((abs(z) for trace in data for row in trace["z"] for z in row if z is not None), default=0.0) or 1.0
    for number, trace in enumerate(data):
        trace |= {"visible": number == shown, "zmin": -bound, "zmax": bound}
    buttons = [
        {"label": rest or "all", "method": "update", "args": [{"visible": [i == number for i in range(len(data))]}]}
        for number, rest in enumerate(cells)
    ]
    layout = {
        "height": 190 + 46 * max(len(trace["y"]) for trace in data), "margin": {"t": 60, "l": 10},
        "xaxis": {"title": {"text": "orderer"}, "type": "category"},
        "yaxis": {"title": {"text": "scorer"}, "type": "category", "automargin": True, "autorange": "reversed"},
        "updatemenus": [{"type": "buttons", "direction": "right", "x": 0, "y": 1.1, "xanchor": "left",
                         "yanchor": "bottom", "active": shown, "buttons": buttons}] if len(data) > 1 else [],
    }  # fmt: skip
    note = (
        f"Difference from {panel.baseline.name} [{panel.baseline.outcome.unit}], blue is better; * better or worse "
        "after Holm's correction. Empty: not part of this study."
    )
    return Figure(f"heatmap{suffix}", "Scorer and orderer", note, {"data": data, "layout": layout})


def _grid(panel: Panel, grid: Mapping[tuple[str, str], Arm], pairs: Pairs) -> dict[str, Any]:
    scorers, orderers = (list(dict.fromkeys(key[axis] for key in grid)) for axis in (0, 1))
    z: list[list[float | None]] = []
    text: list[list[str]] = []
    for scorer in scorers:
        found = [(arm := grid.get((scorer, o))) and against_baseline(panel, arm, pairs) for o in orderers]
        z.append([pair.estimate.value if pair else None for pair in found])
        text.append(
            [f"{p.estimate.value:+.3g}{'' if p.verdict.startswith('not') else ' *'}" if p else "" for p in found]
        )
    assert panel.baseline is not None
    higher = panel.baseline.outcome.better == "higher"
    return {
        "type": "heatmap", "x": orderers, "y": scorers, "z": z, "text": text, "texttemplate": "%{text}",
        "colorscale": BLUE_TO_RED, "reversescale": higher, "hoverongaps": False, "colorbar": {"thickness": 12},
        "hovertemplate": "%{y} · %{x}<br>%{text}<extra></extra>",
    }  # fmt: skip


def dimension_curve(panel: Panel, dimension: str, alpha: float, suffix: str) -> Figure | None:
    """Return the outcome over a dimension whose choices are numbers, one line for the rest of the arm; None without."""
    lines: dict[str, list[tuple[float, Arm]]] = {}
    for arm in panel.arms:
        if dimension in arm.labels and arm is not panel.baseline:
            rest = " · ".join(label for key, label in arm.labels.items() if key != dimension)
            lines.setdefault(rest, []).append((_number(dimension, arm.labels[dimension]), arm))
    lines = {rest: sorted(points, key=lambda point: point[0]) for rest, points in lines.items() if len(points) > 1}
    if not lines:
        return None
    data = [_line(rest, points, alpha, COLOURS[i % len(COLOURS)]) for i, (rest, points) in enumerate(lines.items())]
    unit, shapes = panel.arms[0].outcome.unit, []
    if panel.baseline is not None:
        y = panel.baseline.outcome.estimate.value
        shapes.append({"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": {"dash": "dot"}})
    layout = {
        "height": 460, "margin": {"t": 30}, "xaxis": {"title": {"text": dimension}}, "yaxis": {"title": {"text": unit}},
        "shapes": shapes, "legend": {"font": {"size": 11}},
    }  # fmt: skip
    note = f"Mean and {100 * (1 - alpha):g} % interval; the dotted line is the baseline. {_tokens_note(panel)}"
    return Figure(f"curve{suffix}", f"Outcome by {dimension}", note, {"data": data, "layout": layout})


def _number(dimension: str, label: str) -> float:
    try:
        return float(label)
    except ValueError:
        raise ConfigError(
            f"study.report.curve={dimension}: its choice {label!r} is not a number; name another dimension, or null"
        ) from None


def _line(name: str, points: Sequence[tuple[float, Arm]], alpha: float, colour: str) -> dict[str, Any]:
    estimates = [arm.outcome.estimate for _, arm in points]
    values = [estimate.value for estimate in estimates]
    half = [estimate.interval(alpha)[1] - estimate.value for estimate in estimates]
    return {
        "type": "scatter", "mode": "lines+markers", "name": name, "x": [x for x, _ in points], "y": values,
        "error_y": {"type": "data", "array": half}, "line": {"color": colour},
    }  # fmt: skip


def _tokens_note(panel: Panel) -> str:
    return f"Every arm trains on {panel.arms[0].tokens:,.0f} tokens."


def training_curves(panel: Panel, pairs: Pairs, suffix: str) -> Figure:
    """Return the training loss over tokens, mean over seeds; the baseline and the best arms are shown at first."""
    order = ranked(panel, pairs)
    if panel.baseline is not None:
        order = [panel.baseline, *(arm for arm in order if arm is not panel.baseline)]
    data: list[dict[str, Any]] = []
    for number, arm in enumerate(order):
        tokens, loss = _training_curve(arm)
        data.append({
            "type": "scatter", "mode": "lines", "name": arm.name, "x": tokens.tolist(), "y": loss.tolist(),
            "line": {"color": LINE if arm is panel.baseline else COLOURS[number % len(COLOURS)]},
            "visible": True if number < SHOWN_CURVES else "legendonly",
        })  # fmt: skip
    layout = {
        "height": 520, "margin": {"t": 30}, "xaxis": {"title": {"text": "trained tokens"}},
        "yaxis": {"title": {"text": "training loss [nats/token]"}}, "legend": {"font": {"size": 11}},
    }  # fmt: skip
    note = (
        "Loss on the documents that an arm is training on, which arms do not share: it shows how training went, not "
        "which arm is better. Click a name to show or hide it."
    )
    return Figure(f"training{suffix}", "Training loss", note, {"data": data, "layout": layout})


def _training_curve(arm: Arm) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return tokens and loss of at most CURVE_POINTS points, each the token mean of its part of the training."""
    tables = [pyarrow.csv.read_csv(Path(run.folder) / "metrics.csv") for run in arm.runs.values()]
    tokens = np.concatenate([table["tokens"].to_numpy() for table in tables]).astype(np.float64)
    loss = np.concatenate([table["train/loss"].to_numpy() for table in tables])
    sizes = np.concatenate([np.diff(table["tokens"].to_numpy(), prepend=0) for table in tables])
    part = np.minimum((tokens / tokens.max() * CURVE_POINTS).astype(int), CURVE_POINTS - 1)
    weight = np.bincount(part, sizes, CURVE_POINTS)
    used = weight > 0
    means = [np.bincount(part, sizes * values, CURVE_POINTS)[used] / weight[used] for values in (tokens, loss)]
    return means[0], means[1]
