"""The page of a study: one HTML file, its tables also as CSV, Markdown and LaTeX."""

import json
import os
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from delt_exp.config.build import build
from delt_exp.errors import DataError
from delt_exp.files import written_aside
from delt_exp.report.findings import Findings
from delt_exp.report.record import own_commit
from delt_exp.report.tables import as_csv, as_latex, as_markdown
from delt_exp.report.template import compiled
from delt_exp.study.definition import StudyReport
from delt_exp.study.figures import DARK
from delt_exp.study.record import StudyRecord, read_study
from delt_exp.study.view import cells, is_wide, kinds, parts

# Plotly's own way to send a figure's data to a server stays shut: no button, no link, no address.
PLOTLY_CONFIG = {
    "responsive": True,
    "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"],
    "displaylogo": False,
    "showSendToCloud": False,
    "showEditInChartStudio": False,
    "showLink": False,
    "sendData": False,
    "plotlyServerURL": "",
    "topojsonURL": "",
}
ROWS_AT_ONCE = 25  # of a table; a reader turns its pages
PAGE_ROWS = 300  # of a table; more make a page slow to open, and the files have them all


def write_page(folder: Path) -> Path:
    """Write `report.html` and the tables of the study in `folder`, from the records of its finished runs.

    Works for an unfinished study. Raises DataError where no run is finished, or too few to say anything.
    """
    return write_findings(*read_findings(folder))


def read_findings(folder: Path) -> tuple[StudyRecord, Findings]:
    """Return the study in `folder` and what its finished runs say; raises DataError as `write_page` does."""
    study, config = read_study(folder)
    if not study.finished():
        raise DataError(f"{folder}: no run of this study is finished; repeat the command that started it")
    report: StudyReport = build(config["report"], "study.report")
    try:
        return study, report.findings(study)
    except KeyError as error:
        raise DataError(
            f"{folder}: a record of this study has no {error}: it was written by another version of this code; repeat "
            "the command that started the study, which reuses what is finished and writes the records again"
        ) from error


def write_findings(study: StudyRecord, findings: Findings) -> Path:
    """Write `report.html` and the tables to the study's folder and return the page."""
    return write_pages(study.folder, findings, _render(study, findings))


def write_pages(folder: Path, findings: Findings, page: str) -> Path:
    """Write the tables as CSV, Markdown and LaTeX, and the page, whose path is returned."""
    for table in findings.tables:
        for suffix, text in (("csv", as_csv(table)), ("md", as_markdown(table)), ("tex", as_latex(table))):
            _write(folder / "tables" / f"{table.name}.{suffix}", text)
    _write(folder / "report.html", page)
    return folder / "report.html"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside:
        aside.write_bytes(text.encode("utf-8", "replace"))


def _render(study: StudyRecord, findings: Findings) -> str:
    return rendered(
        "study/study.html.j2",
        findings,
        study=study,
        runs=_runs(study),
        finished=len(study.finished()),
        failures=_failures(study),
        versions=_versions(study),
        writer=_named(commit) if (commit := own_commit()) else None,
    )


def rendered(template: str, findings: Findings, **values: Any) -> str:
    """Return the page of a template that shows findings; `values` are what else it shows."""
    from plotly.offline import get_plotlyjs

    figures = {figure.name: figure.spec for figure in findings.figures}
    return compiled(template, {"cells": cells, "kinds": kinds, "is_wide": is_wide}).render(
        findings=findings,
        parts=parts(findings),
        figures_json=json.dumps(figures).replace("<", "\\u003c"),
        plotly_js=get_plotlyjs(),
        plotly_config=PLOTLY_CONFIG,
        dark_colours=DARK,
        page_rows=PAGE_ROWS,
        rows_at_once=ROWS_AT_ONCE,
        written=datetime.now(UTC),
        **values,
    )


def _versions(study: StudyRecord) -> list[tuple[str, int]]:
    """Return each version of the code that computed or last reused runs of this study, and how many, most first."""
    records = [run.record() or {} for run in study.finished()]
    commits = [[record, *record.get("reused_by", [])][-1].get("commit") for record in records]
    return Counter(_named(commit) for commit in commits if commit).most_common()


def _failures(study: StudyRecord) -> list[tuple[str, int, str]]:
    """Return each error of runs, how many have it, and the overrides of the first of them; one cause can fail many."""
    found: dict[str, list[str]] = {}
    for run in study.failed():
        found.setdefault(run.error or "", []).append(" ".join(run.overrides))
    return [(error, len(commands), commands[0]) for error, commands in found.items()]


def _named(commit: Mapping[str, Any]) -> str:
    return f"{commit['sha'][:7]}{' with changed files' if commit['changed_files'] else ''}"


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
