"""A small run folder, made by hand: 40 documents scored 0.5, 1.5, ... 39.5 of which the lowest 30 were trained."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from delt_exp.files import write_json
from delt_exp.trainer.metrics_file import MetricsFile

LEVELS = ("0.0", "0.05", "0.25", "0.5", "0.75", "0.95", "1.0")


def source(documents: int, kept: int, scores: tuple[float, ...]) -> dict[str, Any]:
    return {"documents": documents, "kept": kept, "quantiles": dict(zip(LEVELS, scores, strict=True))}


def document(score: float, text: str, **changes: Any) -> dict[str, Any]:
    plain = {"id": "00000000000000ff", "source": "books", "tokens": 12, "kept": True, "prompt": "", "cut": 0}
    return {**plain, "score": score, "text": text, **changes}


def measure(dataset: str, metric: str, value: float, stderr: float | None, unit: str, better: str) -> dict[str, Any]:
    return {
        "dataset": dataset,
        "metric": metric,
        "value": value,
        "stderr": stderr,
        "count": 57,
        "unit": unit,
        "better": better,
    }


def stage(name: str, cached: bool) -> dict[str, Any]:
    cost = {"build_seconds": 75.2, "peak_bytes": 1_234_000_000, "cuda_peak_bytes": 0}
    return {
        "stage": name,
        "role": name,
        "own": True,
        "key": "0123456789abcdef",
        "path": "/x",
        "cached": cached,
        "seconds": 0.25,
        "cost": cost,
    }


def described(documents: int) -> dict[str, Any]:
    counts = {"empty_files": 0, "read": documents, "empty": 0, "split": 0, "duplicates": 0, "duplicates_dropped": 0}
    return {"documents": documents, "text_bytes": 9000, "sources": ["books"], "counts": counts, "tokens": 2000}


RECORD: dict[str, Any] = {
    "name": "books-length-0123",
    "id": "fedcba9876543210",
    "group": None,
    "reused_by": [],
    "choices": {
        "train_dataset": "books", "target_dataset": "poems", "tokenizer": "bpe", "scorer": "length",
        "selector": "top_k", "orderer": "folding", "model": "tiny", "eval_dataset": "suite",
    },
    "config": {
        "seed": 7,
        "selector": {"_target_": "delt_exp.selector.top_k.top_k", "_partial_": True, "k": 30},
        "orderer": {"_target_": "delt_exp.orderer.folding.folding", "num_layers": 3, "ascending": True},
    },
    "command": "python run.py scorer=length",
    "started": "2026-03-04T05:06:07+00:00",
    "seconds": 185.4,
    "data": {
        "train": described(40),
        "target": described(9),
        "overlap": {"code": {"documents": 57, "in_train": 0, "near_train": 0, "in_target": 0, "near_target": 0}},
        "target_overlap": {"documents": 9, "in_train": 0, "near_train": 0},
    },
    "score": {
        "name": "size", "unit": "lines", "better": "lower", "explanation": "How long it is.", "digest": "abc",
        "quantiles": source(0, 0, (0.5, 2.45, 10.25, 20.0, 29.75, 37.55, 39.5))["quantiles"],
        "by_source": {
            "books": source(30, 25, (0.5, 2, 8, 15, 22, 30, 39.5)),
            "poems": source(10, 5, (5, 6, 10, 20, 30, 35, 38)),
        },
    },
    "selection": {"kept_documents": 30, "of_documents": 40, "kept_tokens": 500, "of_tokens": 2000},
    "training": {
        "order_verified": True, "order_mismatch": "", "steps": 1234, "tokens": 1_572_864, "parameters": 1_574_016,
        "final_train_loss": 5.39701406, "precision": "32-true", "world_size": 1, "device": "cpu",
    },
    "order_verified": True,
    "alignment": [],
    "results": [
        measure("code", "loss", 3.2145678, 0.0213456, "nats/token", "lower"),
        measure("code", "perplexity", 24.8912, 0.5312, "per token", "lower"),
        measure("quiz", "acc", 0.25, None, "fraction", "higher"),
    ],
    "examples": {
        "best": [document(0.5, "The first line.\nThe second line.")],
        "median": [document(20.5, "In the middle.", prompt="Where?")],
        "worst": [document(39.5, "A long one.", kept=False, cut=4321)],
    },
    "stages": [stage("scores", True), stage("model", False)],
    "versions": {"python": "3.11.7", "wandb": None},
    "commit": {"sha": "8a" * 20, "changed_files": False},
    "machine": {"system": "Linux", "processor": "x86_64"},
}  # fmt: skip


@pytest.fixture
def run_folder(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes the folder; it may change the record and the scores before."""

    def make(change: Callable[[dict[str, Any]], None] = lambda record: None, scores: Any = None) -> Path:
        record = copy.deepcopy(RECORD)
        change(record)
        write_json(tmp_path / "record.json", record)
        scores = np.arange(40, dtype=np.float32) + 0.5 if scores is None else np.asarray(scores, np.float32)
        pq.write_table(
            pa.table({"id": np.arange(len(scores), dtype=np.uint64), "score": scores}), tmp_path / "scores.parquet"
        )
        row = np.concatenate([np.arange(layer, len(scores) * 3 // 4, 3) for layer in range(3)])
        order = {"position": np.arange(len(row)), "row": row, "score": scores[row]}
        order |= {"tokens": np.full(len(row), 16), "step": np.arange(len(row)) // 4}
        pq.write_table(pa.table(order), tmp_path / "order.parquet")
        for step in range(1, 9):
            numbers = (step, 64 * step, 0.1 * step, 8.0 / step, 1e-3 * step, 1.0)
            MetricsFile(tmp_path / "metrics.csv").append(dict(zip(MetricsFile.FIELDS, numbers, strict=True)))
        return tmp_path

    return make
