"""The record of a run: everything that its page and all reports are made of, as one JSON-like value."""

import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.run_name import RunInfo
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.dataset.base import Document
from delt_exp.errors import DataError
from delt_exp.eval_dataset.base import Evaluation
from delt_exp.files import read_json
from delt_exp.report.outcome import Compared, Outcome, Prepared
from delt_exp.report.stages import BASELINE, described
from delt_exp.rows.ranking import rank

NUM_EXAMPLES = 5  # documents shown at the best, middle and worst scores
EXAMPLE_CHARS = 1500
COSTLY_STAGES = ("scores", "annotation", "model")
ORIGIN = ("started", "seconds", "command", "group", "versions", "commit", "machine")  # who computed a run
BASELINE_FACTS = ("steps", "tokens", "flops", "final_train_loss", "order_verified", "order_mismatch")
PACKAGES = (
    "torch", "pytorch-lightning", "transformers", "tokenizers", "datasets", "hydra-core", "numpy", "wandb", "lm_eval",
)  # fmt: skip


def earlier_record(folder: Path, run_id: str, name: str = "record.json") -> dict[str, Any] | None:
    """Return the record that a run of the same configuration left in `folder`; None where there is none."""
    try:
        record: dict[str, Any] = read_json(folder / name)
    except (FileNotFoundError, DataError):
        return None
    return record if record.get("id") == run_id else None


def first_results(record: Mapping[str, Any]) -> dict[str, float]:
    """Return `<dataset> <metric>` -> value of the first metric of each evaluation set."""
    first: dict[str, Mapping[str, Any]] = {}
    for row in record.get("results", []):
        first.setdefault(row["dataset"], row)
    return {f"{name} {row['metric']}": row["value"] for name, row in first.items()}


def with_origin(record: dict[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record that says who computed the run, and under `reused_by` who reused it; `record` if it computed it.

    A run is reused if its scores and its model were computed before, by the run that left `earlier`. Each entry of
    `reused_by` has started, seconds, command, group, commit, and the stages that had to be computed again.
    """
    costly = {
        _name(stage) for stage in record["stages"] if stage["stage"] in COSTLY_STAGES and stage["role"] != BASELINE
    }
    before = {_name(stage): stage for stage in earlier.get("stages", [])}
    computed = [stage for stage in record["stages"] if not stage["cached"]]
    if not costly <= set(before) or any(_name(stage) in costly for stage in computed) or not _has_origin(earlier):
        return record
    finding = {key: record[key] for key in ("started", "seconds", "command", "group", "commit")}
    place = ("path", "role", "own")  # not how it was computed, but what it is to this run
    stages = [{**before.get(_name(stage), stage), **{key: stage[key] for key in place}} for stage in record["stages"]]
    return {
        **record,
        **{key: earlier[key] for key in ORIGIN},
        "stages": stages,
        "reused_by": [*earlier["reused_by"], {**finding, "computed": computed}],
    }


def _has_origin(record: Mapping[str, Any]) -> bool:
    return {*ORIGIN, "reused_by"} <= set(record)  # another version of this code may have written it


def _name(stage: Mapping[str, Any]) -> tuple[str, str]:
    return stage["stage"], stage["key"]


def make_record(info: RunInfo, outcome: Outcome, evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a run as one JSON-like value; every report is built from these alone.

    evidence: what the run folder holds of it.
    """
    training, prepared = outcome.model.result, prepared_record(info, outcome)
    left_out = {name: dict(found.left_out) for name, found in outcome.evaluations.items()}
    return {
        **prepared,
        "data": {**prepared["data"], "evaluation_left_out": left_out},
        "score": {**prepared["score"], "flops": evidence["flops"], "by_source": _by_source(outcome)},
        "evidence": evidence,
        "selection": {**prepared["selection"], "flops": outcome.selecting_flops},
        "mixture": outcome.mixture,
        "training": {
            **training,
            "loss_unit": "nats/token" if outcome.plan.rows_per_sample == 1 else "nats/pair",
            "protocol": outcome.protocol,
        },
        "order_verified": training["order_verified"],
        "alignment": outcome.alignment,
        "results": _results(outcome.evaluations),
        "references": outcome.references,
        **({"averaged": {"results": _results(outcome.averaged)}} if outcome.averaged else {}),
        "baseline": _baseline(info, outcome.compared),
        "examples": _examples(outcome),
        "reused_by": [],
    }


def _results(evaluations: Mapping[str, Evaluation]) -> list[dict[str, Any]]:
    return [asdict(measure) for evaluation in evaluations.values() for measure in evaluation.measures]


def prepared_record(info: RunInfo, found: Prepared) -> dict[str, Any]:
    """Return the facts of what there is before training; `selection` only where documents were chosen."""
    return {
        "name": info.name,
        "id": info.id,
        "group": info.group,
        "choices": dict(info.choices),
        "config": dict(info.config),
        "seed": info.config["seed"],
        "command": info.command,
        "started": found.started.isoformat(timespec="microseconds"),  # a run reused takes less than a second
        "seconds": found.seconds,
        "data": {
            "train": _describe(found.candidates),
            "target": _target(found),
            "overlap": found.overlap.evaluation,
            "target_overlap": found.overlap.target,
        },
        "documents": {
            "corpus": str(found.documents.corpus.folder),
            "corpus_digest": found.documents.corpus.digest,
            "tokens": str(found.documents.tokens.folder),
            "tokens_digest": found.documents.tokens.digest,
            "tokenizer": str(found.tokenizer.folder),
        },
        "model_notes": found.model_notes,
        "score": {
            **asdict(found.table.meaning),
            "digest": found.table.digest,
            "quantiles": _quantiles(found.table.scores),
        },
        **({} if found.kept is None else {"selection": _selection(found, found.kept)}),
        "stages": described(found.stages, found.roles),
        "versions": _versions(),
        "commit": own_commit(),
        "machine": {"system": platform.platform(), "processor": platform.processor() or platform.machine()},
    }


def _baseline(info: RunInfo, found: Compared | None) -> dict[str, Any] | None:
    """Return the baseline and its answers; its stages are those of role `baseline`."""
    if found is None:
        return None
    trained = {} if found.model is None else {key: found.model.result[key] for key in BASELINE_FACTS}
    return {
        "name": info.choices["baseline"],
        "skipped": found.skipped,
        "seconds": found.seconds,
        "documents": found.documents,
        "training": trained,
        "results": _results(found.evaluations),
        "answers": [asdict(answer) for answer in found.answers],
    }


def _selection(found: Prepared, kept: NDArray[np.intp]) -> dict[str, Any]:
    return {
        "kept_documents": len(kept),
        "of_documents": len(found.table.ids),
        "kept_tokens": int(found.documents.tokens.lengths[kept].sum()),
        "of_tokens": int(found.candidates.tokens.lengths.sum()),
        "by_scores": found.kept_by_scores,
    }


def _target(found: Prepared) -> dict[str, Any] | None:
    if found.target is None:
        return None
    return {**_describe(found.target), "readers": list(found.target_readers)}


def _describe(text: TokenizedCorpus) -> dict[str, Any]:
    meta = text.corpus.meta
    return {**meta, "tokens": int(text.tokens.meta["tokens"]), "tokenizer": text.tokens.meta["tokenizer"]}


def _quantiles(scores: NDArray[np.float32]) -> dict[str, float]:
    levels = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
    return {str(level): float(value) for level, value in zip(levels, np.quantile(scores, levels), strict=True)}


def _by_source(outcome: Outcome) -> dict[str, dict[str, Any]]:
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


def _examples(outcome: Outcome) -> dict[str, list[dict[str, Any]]]:
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


def _example(outcome: Outcome, row: int, kept: bool) -> dict[str, Any]:
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
    """Return a document for a reader: prompt and text; of a conversation the turns with their speakers as text.

    The rejected answer of a preference comes after the chosen one.
    """
    turns = "\n\n".join(f"[{turn.role}] {turn.text}" for turn in document.turns)
    rejected = f"\n\n[rejected] {document.rejected}" if document.rejected else ""
    return document.prompt, (turns or document.text) + rejected


def _versions() -> dict[str, str | None]:
    def find(package: str) -> str | None:
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    return {"python": platform.python_version(), **{package: find(package) for package in PACKAGES}}


def own_commit() -> Mapping[str, Any] | None:
    """Return the commit of this program and whether files differ from it; None outside a checkout of its own."""
    if not (Path(__file__).parents[2] / ".git").exists():
        return None  # installed, perhaps below another project's checkout
    git = ["git", "-C", str(Path(__file__).parent), "status", "--porcelain=v2", "--branch"]
    try:
        lines = subprocess.run(git, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        return None
    sha = next(line.split()[-1] for line in lines if line.startswith("# branch.oid"))
    return {"sha": sha, "changed_files": not all(line.startswith("#") for line in lines)}
