"""The page of a run: one HTML file that explains it to someone who does not know this project."""

import base64
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jinja2 import Template

from delt_exp.files import read_json, written_aside
from delt_exp.report import cautions, facts, flow, numbers
from delt_exp.report.answer import answers, difference
from delt_exp.report.template import compiled
from delt_exp.store.evidence import Evidence

SHOWN_ROWS = 6  # of a table of evidence
CAPTIONS = {
    "score_histogram": (
        "Scores of all documents",
        "How many documents got which score: blue ones were kept for training, grey ones dropped.",
    ),
    "score_by_source": (
        "Scores by source",
        "The box is the middle half of a source's scores, the bar their median, the line spans 5 % to 95 % of them; "
        "where the boxes lie apart, choosing by score also chooses between the sources.",
    ),
    "score_along_order": (
        "Scores along the training order",
        "Left is trained first: the line follows the score of the documents as training went on, so every sweep of the "
        "orderer over the scores is one stroke.",
    ),
    "loss_curve": (
        "Training loss",
        "How well the model predicts each batch just before it learns from it (lower is better), with the learning "
        "rate below; it also rises and falls with the documents, so compare it with the order above.",
    ),
    "evaluation": (
        "Evaluation",
        "The trained model on each evaluation set, and what it is compared with; the whiskers are one standard error "
        "over documents or questions. Differences on the same documents are known better than these.",
    ),
}
STAGES = {
    "corpus": "read documents",
    "overlap": "look for shared documents",
    "tokenizer": "make the tokenizer",
    "tokens": "turn text into tokens",
    "annotation": "annotate documents by their gradients",
    "scores": "score every document",
    "model": "train a model",
    "evaluation": "evaluate",
    "references": "measure losses that need no model",
}


def write_report(folder: Path, *, redraw: bool = True) -> Path:
    """Write the pictures and `report.html` of a run folder from what the folder holds, and return the page.

    Record, scores, order, metrics and evidence are enough. redraw: false takes the pictures that are there. The page is
    one file without links to others; nothing in it can run or load anything.
    """
    record = read_json(folder / "record.json")
    evidence = Evidence(folder / "evidence")
    pictures = _pictures(folder, record, evidence, redraw)
    page = _render(record, evidence, pictures, _not_reached(folder / "order.parquet"))
    path = folder / "report.html"
    with written_aside(path) as aside:
        aside.write_bytes(page.encode("utf-8", "replace"))  # a command line may hold bytes that are not text
    return path


def _pictures(folder: Path, record: Mapping[str, Any], evidence: Evidence, redraw: bool) -> dict[str, Path]:
    if redraw:
        from delt_exp.report.plots import write_plots  # Matplotlib takes half a second

        return write_plots(folder, record)
    paths = {name: folder / "plots" / f"{name}.png" for name in _captions(evidence.contents())}
    return {name: path for name, path in paths.items() if path.exists()}


def _not_reached(order: Path) -> int:
    """Return how many kept documents no training step used."""
    import pyarrow.parquet as pq

    steps = pq.ParquetFile(order).read(["step"])["step"].combine_chunks()
    return int((np.from_dlpack(steps) < 0).sum())


@cache
def _template() -> Template:
    """Compile the page once in a process, which may write those of many runs."""
    names = ("count", "share", "seconds", "size", "value", "cell")
    filters = {name: getattr(numbers, name) for name in names}
    return compiled("report/run.html.j2", {**filters, "difference": difference})


def _render(record: Mapping[str, Any], left: Evidence, plots: Mapping[str, Path], not_reached: int) -> str:
    evidence = left.contents()
    captions = _captions(evidence)
    pictures = [(name, *captions[name], _data_url(path)) for name, path in plots.items()]
    return _template().render(
        run=record,
        headline=facts.headline(record, not_reached),
        lead=facts.lead(record, not_reached),
        answers=answers(record),
        key_facts=facts.key_facts(record),
        verdict=flow.verdict(record),
        pipeline=flow.steps(record),
        cautions=cautions.cautions(record, not_reached),
        pictures=pictures,
        evidence=evidence,
        beginnings=_beginnings(left),
        tables=facts.result_tables(facts.all_results(record)),
        ledgers=_ledgers(record),
        stage_names=STAGES,
        sources=facts.largest_sources(record["score"]["by_source"]),
        not_reached=not_reached,
        unfit=cautions.unfit(record),
        held_out=cautions.held_out(record),
        started=datetime.fromisoformat(record["started"]),
        config=yaml.safe_dump(record["config"], sort_keys=False, allow_unicode=True),
    )


def _captions(evidence: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return title and caption of every picture there may be, in reading order."""
    shown = {f"scorer_{name}": (figure["title"], figure["caption"]) for name, figure in evidence["figures"].items()}
    names = list(CAPTIONS)
    first = names.index("score_along_order")  # what the scorer shows stands after the pictures of its scores
    return {name: (CAPTIONS | shown)[name] for name in [*names[:first], *shown, *names[first:]]}


def _ledgers(record: Mapping[str, Any]) -> dict[str, list[tuple[str, int]]]:
    data = {"training": record["data"]["train"], "target": record["data"]["target"]}
    return {role: cautions.ledger(described) for role, described in data.items() if described}


def _beginnings(evidence: Evidence) -> dict[str, list[list[Any]]]:
    """Return the first rows of every table of evidence."""
    tables = {name: evidence.read_table(name) for name in evidence.contents()["tables"]}
    first = {name: table.slice(0, SHOWN_ROWS) for name, table in tables.items() if table is not None}
    return {name: [list(row.values()) for row in table.to_pylist()] for name, table in first.items()}


def _data_url(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
