"""A finished run in the types of Weights & Biases: media and tables, summary, artifacts."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import wandb

from delt_exp.config.run_name import RunInfo
from delt_exp.files import tree_digest
from delt_exp.logger.contents import HISTOGRAM_BINS, pictures, read_scores
from delt_exp.logger.wandb import names as wandb_names
from delt_exp.progress import say
from delt_exp.report.stages import SELECTION
from delt_exp.store.evidence import Evidence

DOCUMENTS = ("group", "score", "kept", "tokens", "source", "prompt", "text", "id")
RESULTS = ("dataset", "metric", "value", "stderr", "count", "unit", "better")
STAGES = ("stage", "role", "own", "cached", "seconds", "build_seconds", "peak_bytes", "cuda_peak_bytes", "key")

_SCORED = ("train_dataset", "scorer")
_ORDERED = (*_SCORED, "selector", "orderer")
# By artifact type: its place in the run folder, and the choices that name it; each is made from the one before.
LINEAGE = {
    "scores": ("scores.parquet", _SCORED),
    "order": ("order.parquet", _ORDERED),
    "model": ("model", (*_ORDERED, "model")),
}


def media(folder: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return score histogram, tables, pictures and the page of a run, by name."""
    examples = ({"group": group, **row} for group, rows in record["examples"].items() for row in rows)
    stages = ({**stage, **stage["cost"]} for stage in record["stages"])
    return {
        "score": wandb.Histogram(np_histogram=np.histogram(read_scores(folder), bins=HISTOGRAM_BINS)),
        "documents": _table(DOCUMENTS, examples),
        "results": _table(RESULTS, record["results"]),
        "stages": _table(STAGES, stages),
        **_evidence(Evidence(folder / "evidence")),
        "report": wandb.Html(folder / "report.html", inject=False),
        **{name: wandb.Image(str(path)) for name, path in pictures(folder).items()},
    }


def _evidence(evidence: Evidence) -> dict[str, wandb.Table]:
    """Return `evidence/<name>` -> table of what the scorer left; larger ones than W&B shows stay in the run folder."""
    sizes = {name: found["rows"] for name, found in evidence.contents()["tables"].items()}
    too_large = [name for name, rows in sizes.items() if rows > wandb.Table.MAX_ROWS]
    if too_large:
        say(f"wandb: {', '.join(too_large)} in {evidence.folder} has more than {wandb.Table.MAX_ROWS} rows: not sent")
    tables = {}
    for name in sizes:
        table = evidence.read_table(name)
        if table is not None and name not in too_large:
            rows = [list(row.values()) for row in table.to_pylist()]
            tables[f"evidence/{name}"] = wandb.Table(columns=table.column_names, data=rows)
    return tables


def _table(columns: tuple[str, ...], rows: Iterable[Mapping[str, Any]]) -> wandb.Table:
    return wandb.Table(columns=list(columns), data=[[row[name] for name in columns] for row in rows])


def summary(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what tells runs apart in a list of runs, beside curves and evaluation."""
    counts = {f"eval/{m['dataset']}/{m['metric']}_count": m["count"] for m in record["results"]}
    groups = {f"{group}/{key}": value for group in ("selection", "training") for key, value in record[group].items()}
    whole = {"seconds": record["seconds"], "order_verified": record["order_verified"]}
    return {**counts, **groups, **_stage_seconds(record), **whole}


def _stage_seconds(record: Mapping[str, Any]) -> dict[str, float]:
    """Return `stage_seconds/<stage>`: what the run's own stages of a kind took to compute, whenever that was.

    A stage counts with the stages that it asked for: a proxy is in the seconds of the scores. `selection` is what a
    selector asked for.
    """
    taken: dict[str, float] = {}
    for stage in record["stages"]:
        if stage["own"] or stage["role"] == SELECTION:
            name = f"stage_seconds/{stage['stage'] if stage['own'] else SELECTION}"
            taken[name] = taken.get(name, 0.0) + stage["cost"]["build_seconds"]
    return taken


def artifacts(run: RunInfo, log_model: bool) -> Iterator[wandb.Artifact]:
    """Yield scores, order and model, in this order.

    Metadata: `digest` of the files, and `made_from`, the digest of the artifact before. Without `log_model` the model
    is a reference to its folder.
    """
    made_from: dict[str, str] = {}
    for kind, (place, _) in LINEAGE.items():
        path = run.folder / place
        content = tree_digest(path)
        metadata = {"digest": content, "made_from": made_from, "run": run.name}
        artifact = wandb.Artifact(artifact_name(kind, run.choices), type=kind, metadata=metadata)
        if kind == "model" and not log_model:
            artifact.add_reference(path.absolute().as_uri(), checksum=False)
        elif path.is_dir():
            artifact.add_dir(str(path), policy="immutable", skip_cache=True)
        else:
            artifact.add_file(str(path), policy="immutable", skip_cache=True)
        yield artifact
        made_from = {kind: content}


def artifact_name(kind: str, choices: Mapping[str, str]) -> str:
    """Return the name of a run's artifact: what was chosen to make it."""
    return wandb_names.artifact_name(kind, *(choices[group] for group in LINEAGE[kind][1]))
