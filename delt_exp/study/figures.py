"""How the figures of all studies look, and one figure with a button for each of several."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from delt_exp.quantity import Ranged

# Okabe and Ito 2008, told apart by every colour vision, orange and sky blue darkened to show on white; then all darker.
COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b77f00", "#2e92cc", "#8c6d1f", "#004a73", "#8a3d00", "#006648",
    "#854e6d", "#95670a", "#38749a", "#5b4714",
)  # fmt: skip
DARK = dict(
    zip(
        COLOURS,
        (  # what stands in for them on a dark page
            "#4da3dd",
            "#f0803c",
            "#2fc99b",
            "#dd98bf",
            "#e69f00",
            "#56b4e9",
            "#c9a548",
            "#a3d2f2",
            "#f5b58d",
            "#8fdcc2",
            "#ecc4dc",
            "#f2cf80",
            "#7a9fc0",
            "#ddd0a8",
        ),
        strict=True,
    )
)
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "x", "triangle-down", "pentagon", "hexagram")
BAND, LINE = "rgba(110, 120, 135, 0.18)", "#66727f"
DARK[LINE] = "#9aa7b5"
# The inner half of ColorBrewer's RdBu, told apart by every colour vision: numbers in INK can be read on all of it.
BLUE, WHITE, RED, INK = "#67a9cf", "#f7f7f7", "#ef8a62", "#1f2933"
BLUE_TO_RED = [[0, BLUE], [0.5, WHITE], [1, RED]]
BLUE_TO_WHITE = [[0, BLUE], [1, WHITE]]
ROW_PIXELS, COLUMN_PIXELS, HEAT_MAP_PIXELS = 44, 140, 300  # of a heat map: of a row, of a column, of all else in width
BUTTONS_PIXELS = 40

LOOK = go.layout.Template(
    data={"heatmap": [go.Heatmap(colorbar_thickness=12, hoverongaps=False, textfont_color=INK)]},
    layout={
        "colorway": COLOURS,
        "margin": {"t": 30},
        "hovermode": "closest",
        "legend": {"font": {"size": 11}},
        "xaxis": {"automargin": True, "title": {"standoff": 12}},
        "yaxis": {"automargin": True},
    },
)


def colour(number: int) -> str:
    """Return a colour for each whole number; the first ones differ."""
    return COLOURS[number % len(COLOURS)]


def symbol(number: int) -> str:
    """Return the shape of a marker for each whole number; the first ones differ."""
    return SYMBOLS[number % len(SYMBOLS)]


def figure(traces: Sequence[Any], height: float, **layout: Any) -> Any:
    """Return a `plotly.graph_objects.Figure` in the look of all studies; `layout` in Plotly's words."""
    return go.Figure(list(traces), {"template": LOOK, "height": height, **layout})


def heat_map(trace: Any, x_title: str | None = None, y_title: str | None = None) -> Any:
    """Return the figure of one `Heatmap` between names, the first row on top."""
    xaxis = {"type": "category", "title": {"text": x_title}}
    yaxis = {"type": "category", "title": {"text": y_title}, "automargin": True, "autorange": "reversed"}
    width = HEAT_MAP_PIXELS + COLUMN_PIXELS * len(trace.x)
    margin = {"t": 34, "l": 10, "b": 60}
    plot = figure([trace], 100 + ROW_PIXELS * len(trace.y), margin=margin, xaxis=xaxis, yaxis=yaxis)
    return plot.update_layout(meta={"max_width": width})


def error_bars(cells: Sequence[Ranged]) -> dict[str, Any]:
    """Return the bars from `low` to `high` around each value, for `error_x` or `error_y`; none of no length."""
    array, minus = ([length or None for length in lengths] for lengths in (
        [cell.high - cell.value for cell in cells], [cell.value - cell.low for cell in cells],
    ))  # fmt: skip
    return {"type": "data", "symmetric": False, "array": array, "arrayminus": minus}


def chooser(figures: Mapping[str, Any], shown: str | None = None) -> Any:
    """Return one figure of several, with a button for each, by its label; `shown` (None: the first) is seen first.

    A button changes what is drawn and the title of the x axis; the rest of the layout is that of `shown`, and the
    height the largest. A single figure is returned without a button.
    """
    shown = next(iter(figures)) if shown is None else shown
    if len(figures) == 1:
        return figures[shown]
    owners = [label for label, one in figures.items() for _ in one.data]
    joined = go.Figure([trace for one in figures.values() for trace in one.data], figures[shown].layout)
    for trace, owner in zip(joined.data, owners, strict=True):
        trace.visible = owner == shown
    buttons = [
        {"label": label, "method": "update",
         "args": [{"visible": [owner == label for owner in owners]}, {"xaxis.title.text": one.layout.xaxis.title.text}]}
        for label, one in figures.items()
    ]  # fmt: skip
    menu = {"type": "buttons", "direction": "right", "active": list(figures).index(shown), "buttons": buttons}
    place = {"x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "pad": {"b": 8}}
    height, top = max(one.layout.height for one in figures.values()), joined.layout.margin.t or 30
    meta = {**(joined.layout.meta or {}), "buttons_pixels": BUTTONS_PIXELS}  # the page has buttons of its own instead
    joined.update_layout(margin_t=top + BUTTONS_PIXELS, height=height + BUTTONS_PIXELS, meta=meta)
    return joined.update_layout(updatemenus=[{**menu, **place}])
