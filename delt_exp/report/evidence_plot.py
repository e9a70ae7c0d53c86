"""Draws the figures that a scorer described (`delt_exp.store.evidence.Figure`)."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from delt_exp.errors import DataError
from delt_exp.report.style import DROPPED, KEPT, LINE, MUTED
from delt_exp.store.evidence import Evidence, Figure, Series

OPACITY = 0.9  # of points and bars, so that some of what they cover shows
TONES = {"main": KEPT, "other": LINE, "faint": DROPPED}
COLOURS = (KEPT, LINE, "#2f855a", "#805ad5", "#b7791f", MUTED)  # of several columns, or of bars side by side
HEIGHT_INCHES = 3.8
Columns = Mapping[str, NDArray[Any]]


def evidence_plots(evidence: Evidence) -> dict[str, Callable[[Canvas], None]]:
    """Return by name what paints each figure that a run has evidence for."""
    figures = evidence.contents()["figures"]
    return {name: _painter(evidence, name, Figure.of(_spec(figure))) for name, figure in figures.items()}


def _spec(figure: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in figure.items() if key != "caption"}


def _painter(evidence: Evidence, name: str, figure: Figure) -> Callable[[Canvas], None]:
    def paint(canvas: Canvas) -> None:
        table = evidence.read_table(figure.table)
        if table is None:
            raise DataError(f"{evidence.folder}: figure {name!r} has lost its table {figure.table!r}; repeat the run")
        draw_figure(canvas.subplots(), figure, {column: table[column].to_numpy() for column in table.column_names})

    return paint


def draw_figure(axes: Axes, figure: Figure, columns: Columns) -> None:
    """Draw a described figure of these columns."""
    for number, (series, part) in enumerate(_parts(figure, columns)):
        label, colour = (series.label, TONES[series.tone]) if series else (None, COLOURS[number])
        _draw(axes, figure, part, label, colour)
    if figure.has_diagonal:
        mean = float(np.mean(columns[figure.x]))
        axes.axline((mean, mean), slope=1, color=MUTED, linewidth=1, linestyle="--")
    axes.set(xlabel=figure.x_label, ylabel=figure.y_label)
    if figure.kind != "bars" and columns[figure.x].dtype.kind in "iu":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))  # there is no half step
    if axes.get_legend_handles_labels()[0]:
        axes.legend()


def _parts(figure: Figure, columns: Columns) -> Iterator[tuple[Series | None, Columns]]:
    """Yield what is drawn apart: the series that have a row, or everything as one."""
    if figure.series_column is None:
        yield None, columns
        return
    for series in figure.series:
        rows = columns[figure.series_column] == series.value
        if rows.any():
            yield series, {name: column[rows] for name, column in columns.items()}


def _draw(axes: Axes, figure: Figure, columns: Columns, label: str | None, colour: str) -> None:
    x = columns[figure.x]
    if figure.kind == "histogram":
        axes.hist(x, bins=60, color=colour, alpha=OPACITY, label=label)
    for number, name in enumerate(figure.y):
        several = len(figure.y) > 1
        own, shown = (name.replace("_", " "), COLOURS[number % len(COLOURS)]) if several else (label, colour)
        if figure.kind == "scatter":
            axes.scatter(x, columns[name], s=14, color=shown, alpha=OPACITY, linewidths=0, label=own)
        elif figure.kind == "line":
            axes.plot(x, columns[name], color=shown, label=own, marker="o" if len(x) == 1 else None)
        else:
            width = 0.8 / len(figure.y)
            at = np.arange(len(x)) + width * (number - (len(figure.y) - 1) / 2)
            axes.bar(at, columns[name], width, color=shown, alpha=OPACITY, label=own)
            axes.set_xticks(np.arange(len(x)), [str(value) for value in x])
