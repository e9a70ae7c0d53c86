"""Cost against gain as a picture: which arms give the most for their cost, with names where there is room for them."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import plotly.graph_objects as go

from delt_exp.quantity import Ranged
from delt_exp.study.figures import LINE, colour, error_bars, figure

WIDTH, HEIGHT = 1100, 480  # pixels that names are placed in; on a narrow page only those of the front are shown
CHAR_PIXELS, LINE_PIXELS, MARKER_PIXELS = 6.2, 14, 9
PLACES = ("middle right", "middle left", "top right", "bottom right", "top left", "bottom left")
FRONT = colour(2)


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
    places = placed([*best, *own, *others], turn, must=len({*best, *own}), best=best)
    named = {True: [p for p in points if p in best or p in own], False: [p for p in points if p not in best + own]}
    traces = [
        go.Scatter(
            name="the most for its cost", x=[p.cost for p in best], y=[p.gain.value for p in best], hoverinfo="skip",
            mode="lines", line={"color": FRONT, "dash": "dot", "shape": "hv", "width": 1.5},
        ),
        *(_markers(kind, [p for p in points if p.kind == kind], n) for n, kind in enumerate(("score", "placebo"))),
        _markers("baseline", sorted(own, key=lambda p: p.cost), 2),
        *(_names([p for p in some if p.name in places], places, wide_only=not must) for must, some in named.items()),
    ]  # fmt: skip
    legend = {"orientation": "h", "x": 0, "y": 1, "yref": "container", "yanchor": "top"}
    yaxis = {"title": {"text": y_title}, "autorange": "reversed" if turn < 0 else True, "zerolinewidth": 2}
    plot = figure([one for one in traces if one.x], HEIGHT, margin={"t": 40, "r": 40}, legend=legend, yaxis=yaxis)
    return plot.update_xaxes(title=x_title, type="log", tickformat="~s", tickvals=ticks([p.cost for p in points]))


def ticks(costs: Sequence[float]) -> list[float]:
    """Return round numbers around the costs, more of them in less than a decade; Plotly would write 20 as 2."""
    digits = (1, 1.5, 2, 3, 5, 7) if max(costs) < 10 * min(costs) else (1, 2, 5)
    decades = range(math.floor(math.log10(min(costs))), math.ceil(math.log10(max(costs))) + 1)
    return [digit * 10.0**decade for decade in decades for digit in digits]


def placed(points: Sequence[Point], turn: int, must: int, best: Sequence[Point]) -> dict[str, str]:
    """Return where the names of points stand beside them, by name, without one on top of another or of a point.

    The first `must` points get a name in any case; others only where there is room. best: what the line joins.
    """
    dots = {point: _pixels(point, points, turn) for point in points}
    taken = [*_lines([dots[point] for point in best], _zero(points, turn)), *map(_dot, dots.values())]
    found: dict[str, str] = {}
    for number, (point, dot) in enumerate(dots.items()):
        boxes = {place: _box(dot, place, len(point.name)) for place in PLACES}
        free = (place for place, box in boxes.items() if box[0] >= 0 and box[2] <= WIDTH and not _meets(box, taken))
        place = next(free, PLACES[2] if number < must else None)
        if place:
            found[point.name] = place
            taken.append(boxes[place])
    return found


Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels."""


def _pixels(point: Point, points: Sequence[Point], turn: int) -> tuple[float, float]:
    """Return about where a point is drawn, from the left and from the top."""
    logs, ends = [math.log(p.cost) for p in points], [-turn * end for p in points for end in (p.gain.low, p.gain.high)]
    across = (math.log(point.cost) - min(logs)) / ((max(logs) - min(logs)) or 1.0)
    down = (-turn * point.gain.value - min(ends)) / ((max(ends) - min(ends)) or 1.0)
    return (0.05 + 0.9 * across) * WIDTH, (0.05 + 0.9 * down) * (HEIGHT - 120)


def _dot(at: tuple[float, float]) -> Box:
    return at[0] - MARKER_PIXELS, at[1] - MARKER_PIXELS, at[0] + MARKER_PIXELS, at[1] + MARKER_PIXELS


def _zero(points: Sequence[Point], turn: int) -> float:
    """Return where the line of no gain is, from the top."""
    return _pixels(points[0]._replace(gain=Ranged(0.0, 0.0, 0.0)), points, turn)[1]


def _lines(steps: Sequence[tuple[float, float]], zero: float) -> list[Box]:
    """Return the boxes of the line of no gain and of the steps from each point of the front to the next."""
    level = [(x, y, right, y) for (x, y), (right, _) in pairwise(steps)]
    rises = [(x, min(y, below), x, max(y, below)) for (_, below), (x, y) in pairwise(steps)]
    return [(0.0, zero, WIDTH, zero), *level, *rises]


def _box(dot: tuple[float, float], place: str, num_chars: int) -> Box:
    """Return the box of a name that does not touch its own point."""
    (x, y), (vertical, side), width = dot, place.split(), CHAR_PIXELS * num_chars
    left = x + MARKER_PIXELS + 1 if side == "right" else x - MARKER_PIXELS - 1 - width
    top = y + {"middle": -LINE_PIXELS / 2, "top": -1.2 * LINE_PIXELS, "bottom": 0.2 * LINE_PIXELS}[vertical]
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


def _names(points: Sequence[Point], places: dict[str, str], *, wide_only: bool) -> Any:
    """Return the names of points, at a distance from them."""
    texts = [f"\u2003{p.name}\u2003" for p in points]
    return go.Scatter(
        x=[p.cost for p in points], y=[p.gain.value for p in points], text=texts, mode="text", showlegend=False,
        textposition=[places[p.name] for p in points], textfont={"size": 11}, hoverinfo="skip", cliponaxis=False,
        meta={"wide_only": wide_only},
    )  # fmt: skip
