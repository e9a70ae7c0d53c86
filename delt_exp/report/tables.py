"""Tables of a study as text: CSV with full precision, Markdown and LaTeX as the page shows them."""

import csv
import io
from collections.abc import Sequence

from delt_exp.quantity import Ranged
from delt_exp.report import numbers
from delt_exp.report.findings import Cell, Table


def shown(cell: Cell) -> str:
    """Return a cell as the page shows it: numbers with three significant digits, nothing for None."""
    if cell is None:
        return ""
    if isinstance(cell, Ranged):
        return f"{shown(cell.value)} [{shown(cell.low)}, {shown(cell.high)}]"
    return cell if isinstance(cell, str) else numbers.number(cell)


def sort_value(cell: Cell) -> float | int | None:
    """Return the number a cell is sorted by, None for text and nothing."""
    if isinstance(cell, Ranged):
        return cell.value
    return cell if isinstance(cell, int | float) else None


def flat(table: Table) -> tuple[list[str], list[list[str | float | int | None]]]:
    """Return columns and rows without intervals: a number that has one takes three columns."""
    is_ranged = [any(isinstance(row[i], Ranged) for row in table.rows) for i in range(len(table.columns))]
    columns = [name for column, ranged in zip(table.columns, is_ranged, strict=True) for name in _names(column, ranged)]
    rows = [
        [value for cell, ranged in zip(row, is_ranged, strict=True) for value in _values(cell, ranged)]
        for row in table.rows
    ]
    return columns, rows


def as_csv(table: Table) -> str:
    """Return the table with full precision; a number with an interval takes three columns."""
    text, (columns, rows) = io.StringIO(), flat(table)
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()


def _names(column: str, is_ranged: bool) -> list[str]:
    return [column, f"{column} low", f"{column} high"] if is_ranged else [column]


def _values(cell: Cell, is_ranged: bool) -> list[str | float | int | None]:
    if isinstance(cell, Ranged):
        return [cell.value, cell.low, cell.high]
    return [cell, None, None] if is_ranged else [cell]


def as_markdown(table: Table) -> str:
    """Return the table for a Markdown page."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    rows = [line([shown(cell) for cell in row]) for row in table.rows]
    return "\n".join([line(table.columns), "|" + "---|" * len(table.columns), *rows]) + "\n"


_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
}


def as_latex(table: Table) -> str:
    """Return a `tabular` with the rules of booktabs."""

    def line(cells: Sequence[str]) -> str:
        return " & ".join("".join(_LATEX.get(c, c) for c in cell) for cell in cells) + r" \\"

    kinds = "".join(
        "r" if all(isinstance(row[i], int | float) for row in table.rows) else "l" for i in range(len(table.columns))
    )
    rows = [line([shown(cell) for cell in row]) for row in table.rows]
    head = [rf"\begin{{tabular}}{{{kinds}}}", r"\toprule", line(table.columns), r"\midrule"]
    return "\n".join([*head, *rows, r"\bottomrule", r"\end{tabular}"]) + "\n"
