"""A study of seconds, run by the real command line, and what its runs computed.

Every path is absolute, because processes that a launcher keeps for the next sweep stay in the folder they started in.
"""

import sys
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

from delt_exp.cli.main import main
from delt_exp.study.record import PlannedRun, StudyRecord, read_study
from tests.helpers import words
from tests.runs import FAST, write_jsonl

SMALL = (
    "study=order_only", "study.seeds=[0]", "~study.slices.longer", "tokenizer=byte", "trainer.num_workers=0",
    "trainer.precision=32-true", "trainer.log_steps=1",
    *(text for text in FAST if text.startswith(("model.network", "model.context_tokens"))),
)  # fmt: skip


def write_study_texts(folder: Path) -> Path:
    """Write the news items that the study reads and return the data folder."""
    (folder / "news_agnews").mkdir()
    for split, count, seed in (("train", 60, 0), ("validation", 12, 1)):
        rows: list[dict[str, object]] = [{"text": f"{split} {text}"} for text in words(count, seed)]
        write_jsonl(folder / "news_agnews" / f"{split}.jsonl", rows)
    return folder


def run_study(texts: Path, output: Path, *overrides: str, scorers: str = "[random]") -> StudyRecord:
    """Train on random order and on documents folded by each scorer; returns the study as it is on disk."""
    grid = f"study.slices.grid={{scorer: {scorers}, selector.ratio: [1.0], orderer: [folding]}}"
    command = ["run.py", *SMALL, f"data_dir={texts}", f"output_dir={output}", grid, *overrides]
    with patch.object(sys, "argv", command):
        main()
    return read_study(output / "order_only")[0]


def result(run: PlannedRun) -> dict[str, Any]:
    """Return what a run found out, without where, when and how fast; its model as bytes."""
    record = run.record() or {}
    training = {key: value for key, value in record["training"].items() if not key.startswith("seconds")}
    facts = {key: record[key] for key in ("id", "selection", "results", "order_verified")}
    model = (Path(run.folder) / "model" / "model.safetensors").read_bytes()
    return {**facts, "scores": record["score"]["digest"], "training": training, "model": model}


def times_computed(study: StudyRecord) -> Counter[str]:
    """Return how many runs computed each stage that any run used."""
    counts: Counter[str] = Counter()
    for run in study.finished():
        for stage in (run.record() or {})["stages"]:
            counts[f"{stage['stage']}/{stage['key']}"] += not stage["cached"]
    return counts
