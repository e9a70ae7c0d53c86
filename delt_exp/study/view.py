"""Findings as the template of a page takes them: sections in reading order, cells with their marks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from delt_exp.quantity import Ranged
from delt_exp.report.findings import Cell, Difference, Figure, Findings, Table
from delt_exp.report.tables import texts

SIDES = {"better": "good", "worse": "bad", "not distinguishable": "even"}
MOST_COLUMNS = 8  # of full width
ARROWS = {"good": ("↓", "↑"), "bad": ("↓", "↑"), "even": ("↔", "↔")}


class Strip(NamedTuple):
    """A difference on a line from the lowest to the highest of its column, in percent; side: good, bad or even."""

    zero: float
    low: float
    high: float
    value: float
    side: str


class CellView(NamedTuple):
    """A cell. kind: `text`, `number` or `verdict`; side and arrow: of a verdict; sort: number to sort by, or None."""

    value: str
    interval: str
    kind: str
    sort: float | None
    strip: Strip | None
    side: str
    arrow: str


@dataclass
class Section:
    """A figure, a table, or a figure above its table, under one heading."""

    name: str
    figure: Figure | None = None
    table: Table | None = None

    @property
    def title(self) -> str:
        """The heading: that of what stands first."""
        first = self.table if self.is_table_first else self.figure or self.table
        return first.title if first else ""

    @property
    def style(self) -> str:
        """CSS of the place of the figure: as high as it is drawn, and no wider than it needs."""
        layout = self.figure.spec["layout"] if self.figure else {}
        meta = layout.get("meta", {})
        height, width = layout.get("height", 0) - meta.get("buttons_pixels", 0), meta.get("max_width")
        return f"min-height: {height}px" + (f"; max-width: {width}px" if width else "")

    @property
    def is_table_first(self) -> bool:
        """Whether the table stands above its figure: the verdicts that the answer rests on are read first."""
        return self.table is not None and self.table.is_answer


@dataclass
class Part:
    """Sections under a heading of their own, such as a corpus; without one where the title is empty."""

    title: str
    sections: dict[str, Section] = field(default_factory=dict)


def parts(findings: Findings) -> list[Part]:
    """Return figures and tables in reading order: a table stands under the figure of its name."""
    found: dict[str, Part] = {}

    def section(one: Figure | Table) -> Section:
        return found.setdefault(one.part, Part(one.part)).sections.setdefault(one.name, Section(one.name))

    for figure in findings.figures:
        section(figure).figure = figure
    for table in findings.tables:
        section(table).table = table
    return sorted(found.values(), key=lambda part: not part.title)  # the comparison of all parts comes last


def cells(table: Table) -> list[list[CellView]]:
    """Return the rows of a table with what a page draws in them."""
    scales = [_scale([row[i] for row in table.rows]) for i in range(len(table.columns))]
    return [
        [
            _view(cell, text.value, text.interval, scale, row)
            for cell, text, scale in zip(row, shown, scales, strict=True)
        ]
        for row, shown in zip(table.rows, texts(table), strict=True)
    ]


def kinds(table: Table) -> list[str]:
    """Return `text` for each column without numbers, `number` for the others."""
    columns = [[row[i] for row in table.rows] for i in range(len(table.columns))]
    return ["text" if all(cell is None or isinstance(cell, str) for cell in column) else "number" for column in columns]


def is_wide(table: Table) -> bool:
    """Whether a table needs narrow columns to fit the page; a second difference takes the room of two more of them."""
    differences = sum(isinstance(cell, Difference) for row in table.rows[:1] for cell in row)
    return len(table.columns) + 2 * max(differences - 1, 0) > MOST_COLUMNS


def _view(cell: Cell, value: str, interval: str, scale: tuple[float, float], row: Sequence[Cell]) -> CellView:
    if isinstance(cell, str):
        word = cell.split(" (")[0]
        side = SIDES.get(word, "")
        own = next((one for one in row if isinstance(one, Difference) and one.verdict.split(" (")[0] == word), None)
        arrow = ARROWS[side][own.value > 0] if side and own else ""
        return CellView(value, "", "verdict" if side else "text", None, None, side, arrow)
    strip = _strip(cell, *scale) if isinstance(cell, Difference) else None
    sort = cell.value if isinstance(cell, Ranged) else cell
    return CellView(value.replace("-", "−"), interval.replace("-", "−"), "number", sort, strip, "", "")


def _scale(column: Sequence[Cell]) -> tuple[float, float]:
    """Return the ends of the strips of a column: 0 and all intervals, cut at three times the largest value."""
    found = [cell for cell in column if isinstance(cell, Difference)]
    most = 3 * max((abs(cell.value) for cell in found), default=0.0)
    low, high = min((cell.low for cell in found), default=0.0), max((cell.high for cell in found), default=0.0)
    return max(min(low, 0.0), -most), min(max(high, 0.0), most)


def _strip(cell: Difference, low: float, high: float) -> Strip | None:
    """Return where a difference lies on its strip; None where there is no scale."""
    if not (math.isfinite(low) and math.isfinite(high) and high > low):
        return None

    def place(x: float) -> float:
        return 100 * (min(max(x, low), high) - low) / (high - low)

    side = SIDES[cell.verdict.split(" (")[0]]
    return Strip(place(0.0), place(cell.low), place(cell.high), place(cell.value), side)
