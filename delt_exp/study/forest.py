"""A forest plot: differences from a baseline, which is a row of its own, with the better side written on the plot."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import plotly.graph_objects as go

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
    values = dict(zip(map(id, cells), column_texts(cells), strict=True))
    is_shared = len(cells) > len({place for group in groups.values() for place in group})
    traces = [_baseline(baseline)]
    for number, (name, group) in enumerate(groups.items()):
        texts = [values[id(cell)].value.replace("-", "−") for cell in group.values()]
        traces += _points(name, group, texts, [*colours, *range(len(groups))][number], symbol(number))
    legend = {"orientation": "h", "x": 0, "y": 1, "yref": "container", "yanchor": "top"}
    top = 30 + 30 * (len(groups) > 1)
    plot = figure(
        traces,
        top + 55 + _rows_pixels(rows, len(groups) if is_shared else 1),
        margin={"l": 10, "r": 70, "t": top, "b": 55},
        showlegend=len(groups) > 1,
        scattermode="group" if is_shared else "overlay",
        legend=legend,
        meta={"narrow_names": ["<br>".join(_lines(row, NARROW_CHARS)) for row in rows]},
        xaxis=_differences(cells, f"difference from {baseline} [{unit}]"),
        yaxis=_names(rows),
    )
    left, right = ("better", "worse") if all(cell.better == "lower" for cell in cells) else ("worse", "better")
    at_zero = {"x": 0, "y": 1, "yref": "paper", "yanchor": "bottom", "showarrow": False}
    plot.add_annotation(text=f"{left} ← ", xanchor="right", **at_zero)
    return plot.add_annotation(text=f" → {right}", xanchor="left", **at_zero)


def _rows_pixels(rows: Sequence[str], per_row: int) -> int:
    return sum(max(ROW_PIXELS + TRACE_PIXELS * (per_row - 1), 15 * len(_lines(row)) + 6) for row in rows)


def _differences(cells: Sequence[Difference], title: str) -> dict[str, Any]:
    """Return the axis of differences: all intervals and 0."""
    low, high = (pick([0.0, *ends]) for pick, ends in ((min, [c.low for c in cells]), (max, [c.high for c in cells])))
    room = 0.04 * ((high - low) or 1.0)
    title = "<br>".join(wrap(title, TITLE_CHARS, break_on_hyphens=False))
    return {"title": {"text": title}, "range": [low - room, high + room], "zeroline": True, "zerolinewidth": 2}


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


def _points(name: str, group: Mapping[str, Difference], values: Sequence[str], number: int, shape: str) -> list[Any]:
    """Return the points with their intervals, and the values at the ends of these."""
    cells, places = list(group.values()), list(group)
    shared = {"y": places, "orientation": "h", "legendgroup": name, "offsetgroup": name, "cliponaxis": False}
    points = go.Scatter(
        name=name,
        x=[cell.value for cell in cells],
        error_x={**error_bars(cells), "thickness": 1.5, "width": 3},
        customdata=[cell.verdict for cell in cells],
        hovertemplate="%{y}<br>%{x:+.4g}<br>%{customdata}<extra></extra>",
        mode="markers",
        marker={
            "color": colour(number), "size": 9, "line": {"width": 2, "color": colour(number)},
            "symbol": [shape if cell.is_clear else f"{shape}-open" for cell in cells],
        },
        **shared,
    )  # fmt: skip
    look = {"textposition": "middle right", "textfont": {"size": 11}, "showlegend": False, "hoverinfo": "skip"}
    ends = go.Scatter(x=[cell.high for cell in cells], text=[f"\u2002{value}" for value in values], mode="text", **look, **shared)
    return [points, ends]
