"""Tables of a study as text: CSV with full precision, Markdown and LaTeX as the page shows them."""

import csv
import io
from collections.abc import Sequence

from delt_exp.quantity import Below, Ranged
from delt_exp.report.columns import Text, column_texts
from delt_exp.report.findings import Table


def texts(table: Table) -> list[list[Text]]:
    """Return the rows as the page shows them: in each column, numbers have equally many decimals."""
    columns = [column_texts([row[i] for row in table.rows]) for i in range(len(table.columns))]
    return [list(row) for row in zip(*columns, strict=True)]


def plain_rows(table: Table) -> tuple[list[str], list[list[str | float | int | None]]]:
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
    text, (columns, rows) = io.StringIO(), plain_rows(table)
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()


def _names(column: str, is_ranged: bool) -> list[str]:
    return [column, f"{column} low", f"{column} high"] if is_ranged else [column]


def _values(cell: object, is_ranged: bool) -> list[str | float | int | None]:
    if isinstance(cell, Ranged):
        return [cell.value, cell.low, cell.high]
    assert cell is None or isinstance(cell, str | float | int)
    cell = float(cell) if isinstance(cell, Below) else cell  # other programs take no kind of number of our own
    return [cell, None, None] if is_ranged else [cell]


def as_markdown(table: Table) -> str:
    """Return the table for a Markdown page."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    rows = [line([cell.joined for cell in row]) for row in texts(table)]
    return "\n".join([line(table.columns), "|" + "---|" * len(table.columns), *rows]) + "\n"


_LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "<": r"$<$",
    ">": r"$>$",
}


def as_latex(table: Table) -> str:
    """Return a `tabular` with the rules of booktabs."""

    def line(cells: Sequence[str]) -> str:
        return " & ".join("".join(_LATEX.get(c, c) for c in cell) for cell in cells) + r" \\"

    kinds = "".join(
        "r" if all(isinstance(row[i], int | float) for row in table.rows) else "l" for i in range(len(table.columns))
    )
    rows = [line([cell.joined for cell in row]) for row in texts(table)]
    head = [rf"\begin{{tabular}}{{{kinds}}}", r"\toprule", line(table.columns), r"\midrule"]
    return "\n".join([*head, *rows, r"\bottomrule", r"\end{tabular}"]) + "\n"
