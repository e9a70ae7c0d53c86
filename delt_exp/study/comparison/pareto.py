"""Cost against gain as a picture: which arms give the most for their cost, with names where there is room for them."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import plotly.graph_objects as go

from delt_exp.quantity import Ranged
from delt_exp.study.figures import LINE, colour, error_bars, figure

WIDTH, NARROW, HEIGHT = 1100, 320, 480  # pixels that names are placed in, on a wide page and on a narrow one
CHAR_PIXELS, LINE_PIXELS, MARKER_PIXELS = 6.2, 14, 9
FRONT = colour(2)


class Place(NamedTuple):
    """Where a name stands beside its point, in Plotly's words, and how many lines farther up or down."""

    position: str
    lines: int = 0


PLACES = [
    *map(Place, ("middle right", "middle left", "top right", "bottom right", "top left", "bottom left")),
    *(Place(f"{up} {side}", 1) for side in ("right", "left") for up in ("top", "bottom")),
]


class Point(NamedTuple):
    """An arm. kind: `score`, `placebo` or `baseline`; gain: as the axis shows it, more is better where `turn` is 1."""

    name: str
    kind: str
    cost: float
    gain: Ranged
    is_clear: bool


def front(points: Sequence[Point], turn: int) -> list[Point]:
    """Return the points that no cheaper one equals, cheapest first; turn: -1 where a lower gain is better."""
    best: list[Point] = []
    for point in sorted(points, key=lambda one: (one.cost, -turn * one.gain.value)):
        if not best or turn * point.gain.value > turn * best[-1].gain.value:
            best.append(point)
    return best


def pareto(points: Sequence[Point], turn: int, x_title: str, y_title: str, best: Sequence[Point] | None = None) -> Any:
    """Return the figure, better arms on top; the cost has a logarithmic axis.

    best: the points that a line joins, cheapest first; None for the front of all.
    """
    best = list(front(points, turn) if best is None else best)
    own = [point for point in points if point.kind == "baseline"]
    others = (point for point in points if point not in best)
    every, main = [*best, *own, *others], [*best, *own]
    wide, narrow = placed(every, turn, every, best, WIDTH), placed(every, turn, main, best, NARROW)
    traces = [
        go.Scatter(
            name="the most for its cost", x=[p.cost for p in best], y=[p.gain.value for p in best], hoverinfo="skip",
            mode="lines", line={"color": FRONT, "dash": "dot", "shape": "hv", "width": 1.5},
        ),
        *(_markers(kind, [p for p in points if p.kind == kind], n) for n, kind in enumerate(("score", "placebo"))),
        _markers("baseline", sorted(own, key=lambda p: p.cost), 2),
        _names(points, wide, "wide_only"),
        _names(points, narrow, "narrow_only"),
    ]  # fmt: skip
    legend = {"orientation": "h", "x": 0, "y": 1, "yref": "container", "yanchor": "top"}
    yaxis = {"title": {"text": y_title}, "autorange": "reversed" if turn < 0 else True, "zerolinewidth": 2}
    plot = figure([one for one in traces if one.x], HEIGHT, margin={"t": 40, "r": 40}, legend=legend, yaxis=yaxis)
    return plot.update_xaxes(title=x_title, type="log", tickformat="~s", tickvals=ticks([p.cost for p in points]))


def ticks(costs: Sequence[float]) -> list[float]:
    """Return round numbers around the costs, few where these are close; Plotly would write 20 as 2."""
    low, high = min(costs), max(costs)
    if low < high < 2 * low:
        decade = 10.0 ** math.floor(math.log10(high - low))
        step = next(step for step in (decade / 5, decade / 2, decade, 2 * decade) if (high - low) / step <= 5)
        return [number * step for number in range(math.floor(low / step), math.ceil(high / step) + 1)]
    digits = (1, 1.5, 2, 3, 5, 7) if high < 10 * low else (1, 2, 5)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [digit * 10.0**decade for decade in decades for digit in digits]


def placed(
    points: Sequence[Point], turn: int, named: Sequence[Point], best: Sequence[Point], width: float
) -> dict[str, Place]:
    """Return where the names of `named` stand beside their points, the first ones first, where there is room.

    No name lies on another one, a point or a line; one without room is left out. best: what the line joins.
    """
    dots = {point: _pixels(point, points, turn, width) for point in points}
    zero = _pixels(points[0]._replace(gain=Ranged(0.0, 0.0, 0.0)), points, turn, width)[1]
    taken = [*_lines([dots[point] for point in best], zero, width), *map(_dot, dots.values())]
    found: dict[str, Place] = {}
    for point in dict.fromkeys(named):
        boxes = {place: _box(dots[point], place, len(point.name)) for place in PLACES}
        free = (place for place, box in boxes.items() if box[0] >= 0 and box[2] <= width and not _meets(box, taken))
        if place := next(free, None):
            found[point.name] = place
            taken.append(boxes[place])
    return found


Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels."""


def _pixels(point: Point, points: Sequence[Point], turn: int, width: float) -> tuple[float, float]:
    """Return about where a point is drawn, from the left and from the top."""
    logs, ends = [math.log(p.cost) for p in points], [-turn * end for p in points for end in (p.gain.low, p.gain.high)]
    across = (math.log(point.cost) - min(logs)) / ((max(logs) - min(logs)) or 1.0)
    down = (-turn * point.gain.value - min(ends)) / ((max(ends) - min(ends)) or 1.0)
    return (0.05 + 0.9 * across) * width, (0.05 + 0.9 * down) * (HEIGHT - 120)


def _dot(at: tuple[float, float]) -> Box:
    return at[0] - MARKER_PIXELS, at[1] - MARKER_PIXELS, at[0] + MARKER_PIXELS, at[1] + MARKER_PIXELS


def _lines(steps: Sequence[tuple[float, float]], zero: float, width: float) -> list[Box]:
    """Return the boxes of the line of no gain and of the steps from each point of the front to the next."""
    level = [(x, y, right, y) for (x, y), (right, _) in pairwise(steps)]
    rises = [(x, min(y, below), x, max(y, below)) for (_, below), (x, y) in pairwise(steps)]
    return [(0.0, zero, width, zero), *level, *rises]


def _box(dot: tuple[float, float], place: Place, num_chars: int) -> Box:
    """Return the box of a name that does not touch its own point."""
    (x, y), (vertical, side), width = dot, place.position.split(), CHAR_PIXELS * num_chars
    left = x + MARKER_PIXELS + 1 if side == "right" else x - MARKER_PIXELS - 1 - width
    down = {"middle": -0.5, "top": -1.2 - place.lines, "bottom": 0.2 + place.lines}[vertical]
    top = y + down * LINE_PIXELS
    return left, top, left + width, top + LINE_PIXELS


def _meets(box: Box, others: Sequence[Box]) -> bool:
    return any(box[0] < o[2] and o[0] < box[2] and box[1] < o[3] and o[1] < box[3] for o in others)


def _markers(name: str, points: Sequence[Point], number: int) -> Any:
    shade, shape = ((colour(0), "circle"), (colour(4), "square"), (LINE, "diamond"))[number]
    bars = error_bars([point.gain for point in points])
    return go.Scatter(
        name=name, x=[p.cost for p in points], y=[p.gain.value for p in points], text=[p.name for p in points],
        error_y={**bars, "thickness": 1, "width": 2}, hovertemplate="%{text}<br>%{x:.4g}<br>%{y:+.4g}<extra></extra>",
        mode="lines+markers" if number == 2 else "markers", line={"color": LINE, "width": 1.5},
        marker={"color": shade, "size": 9, "line": {"width": 2, "color": shade},
                "symbol": [shape if p.is_clear else f"{shape}-open" for p in points]},
    )  # fmt: skip


def _names(points: Sequence[Point], places: Mapping[str, Place], only: str) -> Any:
    """Return the names of points at their places; only: `wide_only` or `narrow_only`, the pages that show them."""
    named = [point for point in points if point.name in places]
    found = [places[point.name] for point in named]
    return go.Scatter(
        x=[p.cost for p in named], y=[p.gain.value for p in named], mode="text", showlegend=False,
        text=[_moved(f"\u2003{p.name}\u2003", place) for p, place in zip(named, found, strict=True)],
        textposition=[place.position for place in found], textfont={"size": 11}, hoverinfo="skip", cliponaxis=False,
        meta={only: True},
    )  # fmt: skip


def _moved(text: str, place: Place) -> str:
    """Return a text with empty lines between it and its point."""
    empty = ["\u00a0"] * place.lines
    return "<br>".join([text, *empty] if place.position.startswith("top") else [*empty, text])
