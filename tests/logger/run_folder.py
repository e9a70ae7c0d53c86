"""A finished run and a finished study, made by hand: what loggers receive and find."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from delt_exp.config.run_name import RunInfo
from delt_exp.logger.base import StudyInfo
from delt_exp.quantity import Ranged
from delt_exp.report.findings import Figure, Findings, Table
from delt_exp.store.evidence import Evidence

SCORES = np.array([0.0, 1.0, 1.0, 4.0], np.float32)
CHOICES = {
    "train_dataset": "stdlib",
    "scorer": "perplexity",
    "selector": "top_r",
    "orderer": "folding",
    "model": "tiny",
    "experiment": "None",
}
ROWS = [
    {"step": 10.0, "tokens": 640.0, "seconds": 0.5, "train/loss": 5.0, "train/lr": 0.25, "train/grad_norm": 2.0},
    {"step": 20.0, "tokens": 1280.0, "seconds": 1.0, "train/loss": 3.0, "train/lr": 0.5, "train/grad_norm": 1.0},
    {"step": 25.0, "tokens": 1600.0, "seconds": 1.5, "train/loss": 4.0, "train/lr": 0.125, "train/grad_norm": 0.5},
]
RECORD = {
    "name": "night-01234567",
    "id": "0123456789abcdef",
    "choices": CHOICES,
    "seconds": 12.5,
    "score": {"name": "loss", "unit": "nats", "better": "lower"},
    "selection": {"kept_documents": 3, "of_documents": 4, "kept_tokens": 30, "of_tokens": 44},
    "training": {"steps": 25, "tokens": 1600, "order_verified": True, "order_mismatch": None},
    "order_verified": True,
    "results": [
        {"dataset": "prose", "metric": "loss", "value": 3.5, "stderr": 0.25, "count": 7, "unit": "nats/token",
         "better": "lower"},
        {"dataset": "quiz", "metric": "acc", "value": 0.75, "stderr": None, "count": 4, "unit": "share",
         "better": "higher"},
    ],
    "examples": {
        group: [{"id": f"{number:016x}", "score": float(number), "source": f"{group}.txt", "tokens": 11, "kept": True,
                 "prompt": "", "text": f"<b>{group}</b> naïve", "cut": 0}]
        for number, group in enumerate(("best", "median", "worst"))
    },
    "evidence": {"numbers": {"fit": {"caption": "", "values": {"spearman": 0.5, "how": "held out", "pearson": None}}}},
    "alignment": [
        {"metric": "ncd", "evaluation": "prose", "unit": "", "name": "compression", "before": {"value": 0.5},
         "trained": {"value": 0.625}},
    ],
    "stages": [
        {"stage": "model", "role": "scores", "own": False, "key": "bb", "path": "/store/bb",
         "cached": True, "seconds": 0.25,
         "cost": {"build_seconds": 2.0, "peak_bytes": 512, "cuda_peak_bytes": 0}},  # of the proxy
        {"stage": "scores", "role": "scores", "own": True, "key": "aa", "path": "/store/aa",
         "cached": True, "seconds": 0.5,
         "cost": {"build_seconds": 9.0, "peak_bytes": 1024, "cuda_peak_bytes": 0,
                  "used": {"model/bb": {"build_seconds": 2.0}, "scores/aa": {"build_seconds": 7.0}}}},
        {"stage": "model", "role": "model", "own": True, "key": "cc", "path": "/store/cc",
         "cached": False, "seconds": 4.0,
         "cost": {"build_seconds": 4.0, "peak_bytes": 2048, "cuda_peak_bytes": 0}},
    ],
}  # fmt: skip


def make_run(tmp_path: Path, name: str = "night-01234567", run_id: str = "0123456789abcdef") -> RunInfo:
    """Return a run whose folder holds everything that a finished run leaves."""
    folder = tmp_path / name
    (folder / "plots").mkdir(parents=True)
    (folder / "model").mkdir()
    pq.write_table(pa.table({"id": np.arange(4, dtype=np.uint64), "score": SCORES}), folder / "scores.parquet")
    pq.write_table(pa.table({"position": [0, 1, 2], "row": [2, 0, 1]}), folder / "order.parquet")
    Evidence(folder / "evidence").table("fit", {"id": np.arange(2, dtype=np.uint64), "annotated": [0.5, 1.5]}, "")
    Image.new("RGB", (3, 2), (255, 0, 0)).save(folder / "plots" / "loss.png")
    (folder / "model" / "config.json").write_text("{}")
    (folder / "model" / "model.safetensors").write_bytes(b"weights")
    (folder / "report.html").write_text("<!doctype html><title>page</title>")
    (folder / "record.json").write_text(json.dumps(RECORD))
    config = {"seed": 3, "selector": {"ratio": 0.5}, "name": None}
    return RunInfo(name, run_id, folder, config, CHOICES, "study", {"scorer": "lqs", "selector.ratio": "0.5"})


def make_study(tmp_path: Path) -> StudyInfo:
    """Return a study of one run whose folder holds page and table."""
    folder = tmp_path / "night"
    (folder / "tables").mkdir(parents=True)
    for name in ("study.json", "report.html", "tables/board.csv", "tables/board.md", "tables/board.tex"):
        (folder / name).write_text(name)
    table = Table("board", "Board", "Read it so.", ["arm", "loss"], [["lqs", Ranged(1.0, 0.5, 1.5)], ["random", None]])
    figure = Figure("curve", "Curve", "", {"data": [{"type": "scatter", "x": [0, 1], "y": [2, 3]}], "layout": {}})
    findings = Findings("Yes: it does.", [figure], [table])
    return StudyInfo("night", "fedcba9876543210", folder, "Does it help?", {"seeds": [3]}, findings, [RECORD])
