"""Rows of points with intervals and their values: a forest plot of differences from a baseline, and a dot plot."""

from collections.abc import Mapping, Sequence, Set
from textwrap import wrap
from typing import Any

import plotly.graph_objects as go

from delt_exp.quantity import Ranged
from delt_exp.report.columns import column_texts
from delt_exp.report.findings import Difference
from delt_exp.study.figures import LINE, colour, error_bars, figure, symbol

ROW_PIXELS, TRACE_PIXELS = 26, 20  # of a row, and of each further trace in it
NAME_CHARS, NARROW_CHARS, TITLE_CHARS = 34, 18, 44  # of a line: of a name, of one on a narrow page, of a title

Groups = Mapping[str, Mapping[str, Difference]]
"""Name of the trace -> name of the row -> difference."""


def forest(groups: Groups, rows: Sequence[str], baseline: str, unit: str, colours: Sequence[int] = ()) -> Any:
    """Return the plot of `rows`, from the top; `baseline` is one of them. Filled points are clear after correction."""
    cells = [cell for group in groups.values() for cell in group.values()]
    clear = {name: {row for row, cell in group.items() if cell.is_clear} for name, group in groups.items()}
    plot = dots(groups, rows, f"difference from {baseline} [{unit}]", clear, at_least=(0.0, 0.0), colours=colours)
    plot.add_trace(_baseline(baseline)).update_xaxes(zeroline=True, zerolinewidth=2)
    sides = "better ← 0 → worse" if all(cell.better == "lower" for cell in cells) else "worse ← 0 → better"
    return plot.add_annotation(text=sides, x=0, y=1, yref="paper", yanchor="bottom", showarrow=False)


def dots(
    groups: Mapping[str, Mapping[str, Ranged]], rows: Sequence[str], title: str, clear: Mapping[str, Set[str]],
    at_least: tuple[float, float], colours: Sequence[int] = (),
) -> Any:  # fmt: skip
    """Return the plot of `rows`, from the top. clear: rows with a filled point, by group; at_least: of the axis."""
    cells = [cell for group in groups.values() for cell in group.values()]
    values = dict(zip(map(id, cells), column_texts(cells), strict=True))
    is_shared = len(cells) > len({place for group in groups.values() for place in group})
    traces: list[Any] = []
    for number, (name, group) in enumerate(groups.items()):
        texts = [values[id(cell)].value.replace("-", "−") for cell in group.values()]
        shade = colour([*colours, *range(len(groups))][number])
        traces += _points(name, group, texts, clear.get(name, set()), shade, symbol(number))
    top = 30 + 30 * (len(groups) > 1)
    return figure(
        traces,
        top + 55 + _rows_pixels(rows, len(groups) if is_shared else 1),
        margin={"l": 10, "r": 70, "t": top, "b": 55},
        showlegend=len(groups) > 1,
        scattermode="group" if is_shared else "overlay",
        legend={"orientation": "h", "x": 0, "y": 1, "yref": "container", "yanchor": "top"},
        meta={"narrow_names": ["<br>".join(_lines(row, NARROW_CHARS)) for row in rows]},
        xaxis=_values_axis(cells, at_least, title),
        yaxis=_names(rows),
    )


def _rows_pixels(rows: Sequence[str], per_row: int) -> int:
    return sum(max(ROW_PIXELS + TRACE_PIXELS * (per_row - 1), 15 * len(_lines(row)) + 6) for row in rows)


def _values_axis(cells: Sequence[Ranged], at_least: tuple[float, float], title: str) -> dict[str, Any]:
    """Return the axis of values, with room for all intervals."""
    low, high = min([at_least[0], *(cell.low for cell in cells)]), max([at_least[1], *(cell.high for cell in cells)])
    room = 0.04 * ((high - low) or 1.0)
    lines = "<br>".join(wrap(title, TITLE_CHARS, break_on_hyphens=False))
    return {"title": {"text": lines}, "range": [low - room, high + room], "zeroline": False}


def _names(rows: Sequence[str]) -> dict[str, Any]:
    """Return the axis of names, which are broken over lines where they are long."""
    return {
        "type": "category", "categoryorder": "array", "categoryarray": list(rows), "range": [len(rows) - 0.4, -0.6],
        "tickvals": list(rows), "ticktext": ["<br>".join(_lines(row)) for row in rows], "showgrid": False,
    }  # fmt: skip


def _lines(name: str, num_chars: int = NAME_CHARS) -> list[str]:
    return wrap(name, num_chars, break_long_words=False, break_on_hyphens=False) or [name]


def _baseline(name: str) -> Any:
    marker = {"color": LINE, "symbol": "diamond", "size": 9}
    text = {"text": ["\u2002baseline"], "textposition": "middle right", "textfont": {"color": LINE, "size": 11}}
    return go.Scatter(x=[0], y=[name], mode="markers+text", marker=marker, hoverinfo="skip", showlegend=False, **text)


def _points(
    name: str, group: Mapping[str, Ranged], values: Sequence[str], clear: Set[str], shade: str, shape: str
) -> list[Any]:  # fmt: skip
    """Return the points with their intervals, and the values at the ends of these."""
    cells, places = list(group.values()), list(group)
    shared = {"y": places, "orientation": "h", "legendgroup": name, "offsetgroup": name, "cliponaxis": False}
    points = go.Scatter(
        name=name,
        x=[cell.value for cell in cells],
        error_x={**error_bars(cells), "thickness": 1.5, "width": 3},
        customdata=[cell.verdict if isinstance(cell, Difference) else "" for cell in cells],
        hovertemplate="%{y}<br>%{x:.4g}<br>%{customdata}<extra></extra>",
        mode="markers",
        marker={
            "color": shade, "size": 9, "line": {"width": 2, "color": shade},
            "symbol": [shape if place in clear else f"{shape}-open" for place in places],
        },
        **shared,
    )  # fmt: skip
    look = {"textposition": "middle right", "textfont": {"size": 11}, "showlegend": False, "hoverinfo": "skip"}
    texts = [f"\u2002{value}" for value in values]
    return [points, go.Scatter(x=[cell.high for cell in cells], text=texts, mode="text", **look, **shared)]
