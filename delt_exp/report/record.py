"""What a run leaves in its folder: record, scores, order, metrics, model, pictures and the page."""

import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.run_name import RunInfo
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.dataset.base import Document
from delt_exp.eval_dataset.base import Measure
from delt_exp.files import read_json, write_json, written_aside
from delt_exp.report.derived import is_current, note_files, sources
from delt_exp.report.page import write_report
from delt_exp.rows.ranking import rank
from delt_exp.scorer.table import ScoreTable
from delt_exp.store.store import Store
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.trainer.job import TrainedModel
from delt_exp.trainer.plan import Plan

NUM_EXAMPLES = 5  # documents shown at the best, middle and worst scores
EXAMPLE_CHARS = 1500
COSTLY_STAGES = ("scores", "annotation", "model")
ORIGIN = ("started", "seconds", "command", "group", "versions", "commit", "machine")  # who computed a run
PACKAGES = (
    "torch", "pytorch-lightning", "transformers", "tokenizers", "datasets", "hydra-core", "numpy", "wandb", "lm_eval",
)  # fmt: skip


def write_run(info: RunInfo, outcome: "Outcome") -> dict[str, Any]:
    """Write everything a run leaves to its folder and return its record."""
    folder, made_of = info.folder, sources(info.id, _keys(outcome))
    record = make_record(info, outcome)
    earlier = earlier_record(folder, info.id)
    if earlier is not None:
        record = with_origin(record, earlier)
    is_written = is_current(folder, made_of)
    if not is_written:
        _write_files(folder, outcome)
    write_json(folder / "record.json", record)
    write_report(folder, redraw=not is_written)
    note_files(folder, made_of)
    return record


def _write_files(folder: Path, outcome: "Outcome") -> None:
    """Write all that is neither record nor page."""
    shutil.rmtree(folder / "plots", ignore_errors=True)
    _write_scores(folder / "scores.parquet", outcome)
    for name in ("annotated.parquet", "fit.parquet"):
        if (_evidence(outcome) / name).exists():
            shutil.copyfile(_evidence(outcome) / name, folder / name)
    shutil.copyfile(outcome.model.folder / "metrics.csv", folder / "metrics.csv")
    _write_order(folder / "order.parquet", outcome)
    _write_losses(folder / "losses.parquet", outcome)
    _link_model(folder / "model", outcome.model.pretrained)


def _keys(outcome: "Outcome") -> list[str]:
    """Return what names the stages that the files show; those inside the scores' are in its key."""
    shown = (outcome.candidates.corpus.digest, _scores_folder(outcome).name, outcome.model.folder.name)
    return [*shown, *(use.key for use in outcome.store.uses if use.stage == "evaluation")]


def earlier_record(folder: Path, run_id: str) -> dict[str, Any] | None:
    """Return the record that a run of the same configuration left in `folder`; None where there is none."""
    try:
        record: dict[str, Any] = read_json(folder / "record.json")
    except (FileNotFoundError, ValueError):
        return None
    return record if record.get("id") == run_id else None


def with_origin(record: dict[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record that says who computed the run, and under `found_by` who found it; `record` if it computed it.

    A run is found if its scores and its model were computed before, by the run that left `earlier`. Each entry of
    `found_by` has started, seconds, command, group, commit, and the stages that had to be computed again.
    """
    costly = {_name(stage) for stage in record["stages"] if stage["stage"] in COSTLY_STAGES}
    before = {_name(stage): stage for stage in earlier.get("stages", [])}
    computed = [stage for stage in record["stages"] if not stage["cached"]]
    if not costly <= set(before) or any(_name(stage) in costly for stage in computed) or not _has_origin(earlier):
        return record
    finding = {key: record[key] for key in ("started", "seconds", "command", "group", "commit")}
    stages = [{**before.get(_name(stage), stage), "path": stage["path"]} for stage in record["stages"]]
    return {
        **record,
        **{key: earlier[key] for key in ORIGIN},
        "stages": stages,
        "found_by": [*earlier["found_by"], {**finding, "computed": computed}],
    }


def _has_origin(record: Mapping[str, Any]) -> bool:
    return {*ORIGIN, "found_by"} <= set(record)  # another version of this code may have written it


def _name(stage: Mapping[str, Any]) -> tuple[str, str]:
    return stage["stage"], stage["key"]


def make_record(info: RunInfo, outcome: "Outcome") -> dict[str, Any]:
    """Return the facts of a run as one JSON-like value; every report is built from these alone."""
    training = outcome.model.result
    lengths = outcome.candidates.tokens.lengths
    return {
        "name": info.name,
        "id": info.id,
        "group": info.group,
        "choices": dict(info.choices),
        "config": dict(info.config),
        "seed": info.config["seed"],
        "command": shlex.join(["python", *sys.argv]),
        "started": outcome.started.isoformat(timespec="microseconds"),  # a run reused takes less than a second
        "seconds": outcome.seconds,
        "data": {
            "train": _describe(outcome.candidates),
            "target": _describe(outcome.target) if outcome.target is not None else None,
            "overlap": outcome.overlap.evaluation,
            "target_overlap": outcome.overlap.target,
        },
        "model_notes": outcome.model_notes,
        "score": {
            **asdict(outcome.table.meaning),
            "digest": outcome.table.digest,
            "fit": _evidence_json(outcome, "fit.json"),
            "flops": _evidence_json(outcome, "flops.json"),
            "phases": _evidence_json(outcome, "phases.json"),
            "quantiles": _quantiles(outcome.table.scores),
            "by_source": _by_source(outcome),
        },
        "selection": {
            "kept_documents": len(outcome.kept),
            "of_documents": len(outcome.table.ids),
            "kept_tokens": int(lengths[outcome.kept].sum()),
            "of_tokens": int(lengths.sum()),
        },
        "training": training,
        "order_verified": training["order_verified"],
        "alignment": outcome.alignment,
        "results": [asdict(measure) for measure in outcome.measures],
        "examples": _examples(outcome),
        "stages": _stages(outcome),
        "versions": _versions(),
        "commit": _commit(),
        "found_by": [],
        "machine": {"system": platform.platform(), "processor": platform.processor() or platform.machine()},
    }


def _evidence(outcome: "Outcome") -> Path:
    """Return the folder of what the scorer wants shown of its work."""
    return _scores_folder(outcome) / "evidence"


def _evidence_json(outcome: "Outcome", name: str) -> Any:
    path = _evidence(outcome) / name
    return read_json(path) if path.exists() else None


def _scores_folder(outcome: "Outcome") -> Path:
    return next(use.path for use in reversed(outcome.store.uses) if use.stage == "scores")


def _describe(text: TokenizedCorpus) -> dict[str, Any]:
    meta = text.corpus.meta
    return {**meta, "tokens": int(text.tokens.meta["tokens"]), "tokenizer": text.tokens.meta["tokenizer"]}


def _quantiles(scores: NDArray[np.float32]) -> dict[str, float]:
    levels = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
    return {str(level): float(value) for level, value in zip(levels, np.quantile(scores, levels), strict=True)}


def _by_source(outcome: "Outcome") -> dict[str, dict[str, Any]]:
    """Return for each source its documents, how many of them were kept, and the quantiles of their scores."""
    corpus, scores = outcome.candidates.corpus, outcome.table.scores
    names, codes = corpus.meta["sources"], corpus.source_codes
    documents, kept = (np.bincount(c, minlength=len(names)) for c in (codes, codes[outcome.kept]))
    groups = np.split(scores[np.argsort(codes, kind="stable")], np.cumsum(documents)[:-1])
    return {
        name: {"documents": int(documents[i]), "kept": int(kept[i]), "quantiles": _quantiles(groups[i])}
        for i, name in enumerate(names)
        if documents[i]  # a source can lose all its documents to duplicates in others
    }


def _write_scores(path: Path, outcome: "Outcome") -> None:
    """One row a candidate: the score table, and what a score is compared with: source and tokens."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    corpus, table = outcome.candidates.corpus, pq.read_table(_scores_folder(outcome) / "scores.parquet")
    sources = pa.DictionaryArray.from_arrays(np.asarray(corpus.source_codes, np.int32), corpus.meta["sources"])
    table = table.append_column("source", sources)
    with written_aside(path) as aside:
        pq.write_table(table.append_column("tokens", pa.array(outcome.candidates.tokens.lengths)), aside)


def _write_order(path: Path, outcome: "Outcome") -> None:
    """One row a kept document, in training order: id, corpus row, score, tokens, the step that first predicts it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    order, plan = outcome.order, outcome.plan
    consumed = np.load(outcome.model.folder / "consumed.npy", allow_pickle=False)
    # `last` never falls along the plan, so the first sequence that reaches a document is found by bisection.
    item = np.searchsorted(consumed["last"], np.arange(len(order)))
    step = np.where(item < plan.num_items, item // plan.batch_items, -1)
    columns = {
        "position": np.arange(len(order)),
        "id": np.asarray(outcome.table.ids)[order],
        "row": order,
        "score": outcome.table.scores[order],
        "tokens": outcome.candidates.tokens.lengths[order],
        "step": step,
    }
    with written_aside(path) as aside:
        pq.write_table(pa.table(columns), aside)


def _write_losses(path: Path, outcome: "Outcome") -> None:
    """One row a document of the text evaluations: dataset, id, sum_nats, num_tokens; no file without any."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from delt_exp.eval_dataset.text_loss import TextMeasure

    names = [m.dataset for m in outcome.measures if isinstance(m, TextMeasure) and m.metric == "loss"]
    files = [use.path / "documents.parquet" for use in outcome.store.uses if use.stage == "evaluation"]
    tables = [pq.read_table(file, columns=["id", "sum_nats", "num_tokens"]) for file in files if file.exists()]
    parts = [t.add_column(0, "dataset", pa.repeat(n, len(t))) for n, t in zip(names, tables, strict=True)]
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


def _examples(outcome: "Outcome") -> dict[str, list[dict[str, Any]]]:
    """Return the documents at both ends and in the middle of the goodness ranking."""
    ranked = rank(outcome.table.ids, outcome.table.goodness)
    count, middle = min(NUM_EXAMPLES, len(ranked)), len(ranked) // 2
    first_middle = max(middle - count // 2, 0)
    groups = {
        "best": ranked[::-1][:count],
        "median": ranked[first_middle : first_middle + count],
        "worst": ranked[:count],
    }
    kept = set(outcome.kept[np.isin(outcome.kept, np.concatenate(list(groups.values())))].tolist())
    return {name: [_example(outcome, int(row), int(row) in kept) for row in rows] for name, rows in groups.items()}


def _example(outcome: "Outcome", row: int, kept: bool) -> dict[str, Any]:
    document = outcome.candidates.corpus.document(row)
    prompt, text = shown_parts(document)
    return {
        "id": f"{int(outcome.table.ids[row]):016x}",
        "score": float(outcome.table.scores[row]),
        "source": document.source,
        "tokens": int(outcome.candidates.tokens.lengths[row]),
        "kept": kept,
        "prompt": prompt[:EXAMPLE_CHARS],
        "text": text[:EXAMPLE_CHARS],
        "cut": max(len(text) - EXAMPLE_CHARS, 0),
    }


def shown_parts(document: Document) -> tuple[str, str]:
    """Return a document for a reader: prompt and text; of a conversation the turns with their speakers as text."""
    turns = "\n\n".join(f"[{turn.role}] {turn.text}" for turn in document.turns)
    return document.prompt, turns or document.text


def _stages(outcome: "Outcome") -> list[dict[str, Any]]:
    """Return each stage once, as it was first obtained; asking again in the same run finds it."""
    first = {(use.stage, use.key): use for use in reversed(outcome.store.uses)}
    return [{**asdict(use), "path": str(use.path)} for use in reversed(first.values())]


def _versions() -> dict[str, str | None]:
    def find(package: str) -> str | None:
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    return {"python": platform.python_version(), **{package: find(package) for package in PACKAGES}}


def _commit() -> Mapping[str, Any] | None:
    """Return the commit of this program and whether files differ from it; None outside a checkout."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", here, *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        return {"sha": git("rev-parse", "HEAD"), "changed_files": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a run produced, for its record and its page.

    kept: [K] corpus rows in corpus order; order: [K] the same rows in training order, one epoch.
    overlap: see `Overlap`.
    model_notes: what was found in pretrained weights, a sentence each.
    """

    started: datetime
    seconds: float
    candidates: TokenizedCorpus
    target: TokenizedCorpus | None
    tokenizer: Tokenizer
    table: ScoreTable
    kept: NDArray[np.intp]
    order: NDArray[np.intp]
    plan: Plan
    model: TrainedModel
    measures: list[Measure]
    alignment: list[dict[str, Any]]
    overlap: "Overlap"
    model_notes: list[str]
    store: Store


@dataclass(frozen=True)
class Overlap:
    """What should be disjoint and is not, as counts of distinct documents.

    target: {documents, in_train, near_train}, None where the scorer reads no target. evaluation: dataset -> the same
    and {in_target, near_target}, for the datasets whose text is at hand. in_: equal documents; near_: others that are
    near-duplicates (see `delt_exp.dataset.near_duplicates`).
    """

    target: dict[str, int] | None
    evaluation: dict[str, dict[str, int]]
