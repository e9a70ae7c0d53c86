"""The page of a study: one HTML file, its tables also as CSV, Markdown and LaTeX."""

import csv
import io
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from delt_exp.config import build
from delt_exp.errors import DataError
from delt_exp.files import written_aside
from delt_exp.study.record import StudyRecord, read_study
from delt_exp.study.report import Cell, Findings, Ranged, StudyReport, Table

PAGE_ROWS = 300  # of a table; more make a page slow to open, and the files have them all


def write_page(folder: Path) -> Path:
    """Write `report.html` and the tables of the study in `folder`, from the records of its finished runs.

    Works for an unfinished study. Raises DataError where no run is finished, or too few to say anything.
    """
    study, config = read_study(folder)
    if not study.finished():
        raise DataError(f"{folder}: no run of this study is finished; repeat the command that started it")
    report: StudyReport = build(config["report"], "study.report")
    try:
        findings = report.findings(study)
    except KeyError as error:
        raise DataError(
            f"{folder}: a record of this study has no {error}: it was written by another version of this code; repeat "
            "the command that started the study, which finds what is finished and writes the records again"
        ) from error
    for table in findings.tables:
        for suffix, text in (("csv", as_csv(table)), ("md", as_markdown(table)), ("tex", as_latex(table))):
            _write(folder / "tables" / f"{table.name}.{suffix}", text)
    page = folder / "report.html"
    _write(page, _render(study, findings))
    return page


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside:
        aside.write_bytes(text.encode("utf-8", "replace"))


def _render(study: StudyRecord, findings: Findings) -> str:
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=PackageLoader("delt_exp", ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"shown": shown, "sort_value": sort_value}
    figures = {figure.name: figure.spec for figure in findings.figures}
    return environment.get_template("study/study.html.j2").render(
        study=study,
        findings=findings,
        runs=_runs(study),
        finished=len(study.finished()),
        failed=study.failed(),
        figures_json=json.dumps(figures).replace("<", "\\u003c"),
        plotly_js=get_plotlyjs(),
        page_rows=PAGE_ROWS,
        written=datetime.now(UTC),
    )


def _runs(study: StudyRecord) -> list[dict[str, Any]]:
    """Return the rows of the table of runs, with a link to each page that exists."""
    rows = []
    for run in study.runs:
        page = Path(run.folder) / "report.html"
        link = os.path.relpath(page, study.folder) if page.exists() else None
        state = "failed" if run.error else "finished" if run.record() else "missing"
        rows.append(
            {"arm": run.arm, "seed": run.seed, "overrides": " ".join(run.overrides), "state": state, "link": link}
        )
    return rows


def shown(cell: Cell) -> str:
    """Return a cell as the page shows it: numbers with three significant digits, nothing for None."""
    if cell is None:
        return ""
    if isinstance(cell, Ranged):
        return f"{shown(cell.value)} [{shown(cell.low)}, {shown(cell.high)}]"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if 1e4 <= abs(cell) < 1e15 else f"{cell:.3g}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def sort_value(cell: Cell) -> float | int | None:
    """Return the number a cell is sorted by, None for text and nothing."""
    if isinstance(cell, Ranged):
        return cell.value
    return cell if isinstance(cell, int | float) else None


def as_csv(table: Table) -> str:
    """Return the table with full precision; a number with an interval takes three columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    is_ranged = [any(isinstance(row[i], Ranged) for row in table.rows) for i in range(len(table.columns))]
    writer.writerow(
        [name for column, ranged in zip(table.columns, is_ranged, strict=True) for name in _names(column, ranged)]
    )
    for row in table.rows:
        writer.writerow([value for cell, ranged in zip(row, is_ranged, strict=True) for value in _values(cell, ranged)])
    return text.getvalue()


def _names(column: str, is_ranged: bool) -> list[str]:
    return [column, f"{column} low", f"{column} high"] if is_ranged else [column]


def _values(cell: Cell, is_ranged: bool) -> list[Cell]:
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
