"""The folder of a run: scores, order, losses, metrics, evidence, model, record, pictures and page."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from delt_exp.config.run_name import RunInfo
from delt_exp.eval_dataset.base import Evaluation
from delt_exp.files import write_json, written_aside
from delt_exp.report.derived import is_current, note_files, sources
from delt_exp.report.outcome import Outcome
from delt_exp.report.page import write_report
from delt_exp.report.prepared import remove_prepared, write_rows, write_scores
from delt_exp.report.record import earlier_record, make_record, with_origin
from delt_exp.report.weights import show_weights_by_source
from delt_exp.store.evidence import Evidence


def write_run(info: RunInfo, outcome: Outcome) -> dict[str, Any]:
    """Write everything a run leaves to its folder and return its record."""
    folder, made_of = info.folder, sources(info.id, _keys(outcome))
    is_written = is_current(folder, made_of)
    if not is_written:
        _write_files(folder, outcome)
    record = make_record(info, outcome, Evidence(folder / "evidence").contents())
    earlier = earlier_record(folder, info.id)
    if earlier is not None:
        record = with_origin(record, earlier)
    write_json(folder / "record.json", record)
    remove_prepared(folder)
    write_report(folder, redraw=not is_written)
    note_files(folder, made_of)
    return record


def _write_files(folder: Path, outcome: Outcome) -> None:
    """Write all that is neither record nor page."""
    shutil.rmtree(folder / "plots", ignore_errors=True)
    write_scores(folder / "scores.parquet", outcome)
    _write_evidence(folder / "evidence", outcome)
    shutil.copyfile(outcome.model.folder / "metrics.csv", folder / "metrics.csv")
    _write_order(folder / "order.parquet", outcome)
    _write_losses(folder / "losses.parquet", outcome.evaluations)
    _write_losses(folder / "losses_averaged.parquet", outcome.averaged)
    for model in filter(None, (outcome.model, outcome.model.averaged)):
        _link_model(folder / model.weights, model.pretrained)


def _keys(outcome: Outcome) -> list[str]:
    """Return what names the stages that the files show; those inside the scores' are in its key."""
    shown = (outcome.candidates.corpus.digest, outcome.table.folder.name, outcome.model.folder.name)
    compared = [] if outcome.compared is None else outcome.compared.evaluations.values()
    evaluations = (*outcome.evaluations.values(), *outcome.averaged.values(), *compared)
    return [*shown, *(evaluation.folder.name for evaluation in evaluations)]


def _write_order(path: Path, outcome: Outcome) -> None:
    """One row per kept document, in training order: see `write_rows`, and the step that first predicts it."""
    order, plan = outcome.order, outcome.plan
    consumed = np.load(outcome.model.folder / "consumed.npy", allow_pickle=False)
    # `last` never falls along the plan, so the first sequence that reaches a document is found by bisection.
    rows, first = np.unique(plan.order, return_index=True)
    is_planned = np.isin(order, rows)  # a plan may leave out documents that fit no sequence, or no mixture
    place = np.minimum(np.searchsorted(rows, order), len(rows) - 1)
    item = np.searchsorted(consumed["last"], first[place])
    step = np.where(is_planned & (item < plan.num_items), item // plan.batch_items, -1)
    write_rows(path, outcome, order, {"step": step})


def _write_losses(path: Path, evaluations: Mapping[str, Evaluation]) -> None:
    """One row per document of the text evaluations: dataset, id, sum_nats, num_tokens; no file without any."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = []
    for name, evaluation in evaluations.items():
        if evaluation.documents is not None:
            table = pq.read_table(evaluation.documents, columns=["id", "sum_nats", "num_tokens"])
            parts.append(table.add_column(0, "dataset", pa.repeat(name, len(table))))
    if parts:
        with written_aside(path) as aside:
            pq.write_table(pa.concat_tables(parts), aside)


def _link_model(folder: Path, model: Path) -> None:
    """Put the model into the run folder by hard links: no second copy, and it stays when the store is freed."""

    def link(source: str, target: str) -> str:
        try:
            if not source.endswith(".safetensors"):  # a small file may be edited; the store's must not be
                raise OSError
            os.link(source, target)
        except OSError:  # or another file system
            shutil.copy2(source, target)
        return target

    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(model, folder, copy_function=link)


def _write_evidence(folder: Path, outcome: Outcome) -> None:
    """Put together what scorer, selector and weights want to be seen."""
    shutil.rmtree(folder, ignore_errors=True)
    scored = outcome.table.evidence.folder
    if scored.exists():
        shutil.copytree(scored, folder)
    evidence = Evidence(folder)
    outcome.show_selection(evidence)
    evidence.add(outcome.model.evidence)
    show_weights_by_source(evidence, outcome)
