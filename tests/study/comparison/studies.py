"""Studies on disk with planted effects: study.json, and a folder for each finished run."""

import copy
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from delt_exp.files import write_json
from delt_exp.quantity import Meaning
from delt_exp.scorer.table import ScoreTable
from delt_exp.study.record import PlannedRun

BASE = {"scorer": "random", "ratio": "1.0", "orderer": "shuffle"}
REPORT: dict[str, Any] = {
    "_target_": "delt_exp.study.comparison.report.ComparisonReport",
    "panel": None,
    "metric": "loss",
    "baseline": {"scorer": "random", "ratio": 1.0, "orderer": "shuffle"},
    "subject": {"orderer": "folding"},
    "placebos": ["random", "permuted"],
    "curve": None,
    "overlap_ratio": 0.5,
    "alpha": 0.05,
}
NUM_DOCUMENTS = 120
NUM_CANDIDATES = 40


@dataclass(frozen=True)
class Planted:
    """An arm and what is planted in it. loss: [nats/token] above the common 5; scoring_seconds: None for unknown."""

    labels: Mapping[str, str]
    loss: float = 0.0
    seeds: Sequence[int] = (0, 1, 2, 3, 4)
    tokens: int = 10_000
    training_seconds: float = 10.0
    scoring_seconds: Mapping[str, float] | None = field(default_factory=lambda: {"scores/a": 0.5})
    scoring_flops: float | None = 0.0
    selecting_seconds: Mapping[str, float] = field(default_factory=dict)
    selecting_flops: float = 0.0
    scores: Callable[[int], Any] = lambda seed: np.random.default_rng(seed + 100).random(NUM_CANDIDATES)
    change: Callable[[dict[str, Any]], None] = lambda record: None
    sets: Sequence[str] = ("news",)


def arm(scorer: str, ratio: str, orderer: str, loss: float = 0.0, **settings: Any) -> Planted:
    return Planted({"scorer": scorer, "ratio": ratio, "orderer": orderer}, loss, **settings)


def write_study(
    folder: Path, arms: Sequence[Planted], *, missing: Sequence[Mapping[str, str]] = (),
    seeds: Sequence[int] = range(5), num_documents: int = NUM_DOCUMENTS, **report: Any,
) -> Path:  # fmt: skip
    """Write a study and its runs; `missing` are labels of arms without any finished run. Returns its folder."""
    planned = []
    for number, planted in enumerate(arms):
        for seed in seeds:
            path = folder / "runs" / f"arm{number}-s{seed}"
            planned.append(PlannedRun(dict(planted.labels), seed, [f"seed={seed}"], ["all"], str(path), None))
            if seed in planted.seeds:
                write_run(path, planted, seed, num_documents)
    for labels in missing:
        planned += [PlannedRun(dict(labels), seed, [], ["all"], str(folder / "runs" / "none"), None) for seed in seeds]
    (folder / "study").mkdir(parents=True, exist_ok=True)
    content = {
        "name": "planted",
        "question": "Does folding help?",
        "study": {"report": report if "_target_" in report else {**REPORT, **report}},
        "settings": {},
    }
    write_json(folder / "study" / "study.json", {**content, "runs": [asdict(run) for run in planned], "accounts": []})
    return folder / "study"


def write_run(folder: Path, planted: Planted, seed: int, num_documents: int) -> None:
    folder.mkdir(parents=True)
    _write_losses(folder, planted, seed, num_documents)
    goodness = np.asarray(planted.scores(seed), np.float32)
    ids = np.arange(len(goodness), dtype=np.uint64)
    ScoreTable(ids, goodness, Meaning("planted", "none", "higher", "Made for a test.")).save(folder / "scores.parquet")
    table = pq.read_table(folder / "scores.parquet")
    table = table.append_column("source", pa.array(["books", "news"] * (len(ids) // 2)))
    pq.write_table(table.append_column("tokens", pa.array(np.arange(len(ids)) + 1)), folder / "scores.parquet")
    lines = [f"{step},{step * planted.tokens // 4},{step},{8 - step},0.1,1.0" for step in range(1, 5)]
    (folder / "metrics.csv").write_text("step,tokens,seconds,train/loss,train/lr,train/grad_norm\n" + "\n".join(lines))
    record = _record(planted, seed)
    planted.change(record)
    write_json(folder / "record.json", record)
    (folder / "report.html").write_text("<title>run</title>")


def _write_losses(folder: Path, planted: Planted, seed: int, num_documents: int) -> None:
    """Documents of unequal difficulty and length; seeds shift all of them, and every run its own a little."""
    documents, runs = (
        np.random.default_rng(0),
        np.random.default_rng([seed, zlib.crc32("·".join(planted.labels.values()).encode())]),
    )
    tokens, hard = documents.integers(20, 80, num_documents), documents.normal(0, 0.5, num_documents)
    shift = np.random.default_rng(seed).normal(0, 0.05) + runs.normal(0, 0.004)
    nats = tokens * (5 + planted.loss + hard + shift + runs.normal(0, 0.03, num_documents))
    columns = {"id": np.arange(num_documents, dtype=np.uint64) * 7919, "sum_nats": nats, "num_tokens": tokens}
    parts = [pa.table({"dataset": [name] * num_documents, **columns}) for name in planted.sets]
    pq.write_table(pa.concat_tables(parts), folder / "losses.parquet")


def _used(seconds: Mapping[str, float], peak_bytes: float) -> dict[str, dict[str, float]]:
    costs = {"peak_bytes": peak_bytes, "cuda_peak_bytes": 0}
    return {name: {**costs, "build_seconds": spent} for name, spent in seconds.items()}


def _record(planted: Planted, seed: int) -> dict[str, Any]:
    cost = {"build_seconds": 0.25, "peak_bytes": 1, "cuda_peak_bytes": 0}
    scores: dict[str, Any] = copy.deepcopy(cost)
    if planted.scoring_seconds is not None:
        scores["used"] = _used(planted.scoring_seconds, 2e9)
    model = {**cost, "build_seconds": planted.training_seconds}
    result = {"dataset": "quiz", "metric": "acc", "unit": "share", "better": "higher"}
    return {
        "config": {"model": {"batch_items": 2, "context_tokens": 50}},
        "choices": {"scorer": "lqs", "orderer": "identity"},
        "seed": seed,
        "score": {"flops": planted.scoring_flops},
        "selection": {"flops": planted.selecting_flops},
        "training": {"tokens": planted.tokens, "flops": 60 * planted.tokens},
        "results": [{**result, "value": 0.5 - planted.loss + 0.001 * (seed % 3) * (1 + planted.loss)}],
        "stages": [{"stage": "model", "role": "scores", "own": False, "cost": {**cost, "build_seconds": 99.0}},
                   {"stage": "scores", "role": "scores", "own": True, "cost": scores},
                   *({"stage": name.split("/")[0], "role": "selection", "own": False, "cost": {"used": {name: spent}}}
                     for name, spent in _used(planted.selecting_seconds, 3e9).items()),
                   {"stage": "model", "role": "model", "own": True, "cost": model},
                   {"stage": "evaluation", "role": "evaluation on news", "own": True, "cost": cost}],
    }  # fmt: skip
