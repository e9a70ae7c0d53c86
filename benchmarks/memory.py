"""Resident memory while a corpus far larger than it is read and tokenised."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.fixtures import NumberedStdlib, config, tokenized
from benchmarks.process import in_new_process
from benchmarks.table import Row
from delt_exp.config.build import build
from delt_exp.store.store import Store


def measure(quick: bool) -> list[Row]:
    """Return the peak of reading a JSONL file, training the tokenizer and encoding, in a process of their own."""
    total_bytes = 100_000_000 if quick else 2_000_000_000
    with TemporaryDirectory() as name:
        file = Path(name) / "corpus.jsonl"
        _write(file, total_bytes)
        peaks = in_new_process(_peaks, file, Path(name) / "store")
    stages = ", ".join(f"{stage} {peak / 1e9:.2f}" for stage, peak in peaks.items())
    detail = f"one JSONL file of numbered standard library, largest VmHWM of each stage [GB]: {stages}"
    what = f"resident memory, {total_bytes / 1e9:g} GB corpus"
    return [Row(what, "-", max(peaks.values()) / 1e9, "GB", detail, below=1.0)]


def _write(file: Path, total_bytes: int) -> None:
    with file.open("w", encoding="utf-8") as out:
        for document in NumberedStdlib(total_bytes).documents():
            out.write(json.dumps({"text": document.text}) + "\n")


def _peaks(file: Path, root: Path) -> dict[str, int]:
    cfg, store = config("train_dataset=jsonl", f"train_dataset.path={file}"), Store(root, "size")
    tokenized(cfg, build(cfg.train_dataset), store)
    return {use.stage: int(use.cost["peak_bytes"]) for use in store.uses}
