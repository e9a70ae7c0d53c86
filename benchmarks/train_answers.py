"""Training on answers: the head at the tokens of answers alone, against logits of prompts and padding too."""

import logging
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

from omegaconf import DictConfig

from benchmarks.fixtures import config, train_job
from benchmarks.steady import run_ours
from benchmarks.table import Row, alternate, median_ratio, spread
from delt_exp.trainer.job import TrainJob

CORPORA = ("hh_rlhf_harmless", "gsm8k")
OVERRIDES = (
    "training.layout=padded", "training.completion_only=true", "corpus.max_document_chars=null",
    "model.context_tokens=256", "model.batch_items=16", "trainer.micro_batch_items=16",
    "trainer.log_steps=1",
)  # fmt: skip


def measure(quick: bool) -> list[Row]:
    """Return one row for each dataset of the local data folder that is there."""
    rows = []
    for name in CORPORA:
        cfg = config(f"train_dataset={name}", *OVERRIDES)
        if Path(cfg.train_dataset.path.format(split="train")).exists():
            rows.append(_compare(name, cfg, quick))
        else:
            logging.warning("train_answers: no %s in %s; set DELT_DATA_DIR", name, cfg.data_dir)
    return rows


def _compare(name: str, cfg: DictConfig, quick: bool) -> Row:
    num_full, num_repeats = (4, 1) if quick else (8, 5)
    with TemporaryDirectory() as folder:
        job = train_job(cfg, Path(folder), num_full)
        ours, whole = alternate(num_repeats, lambda: run_ours(job), lambda: _run_whole(job))
    share = job.plan.labels_per_step().sum() / job.plan.positions_read()
    detail = f"tiny, {share:.0%} of the positions predict; {spread(ours, whole)}"
    return Row("training on answers, tokens/s", f"all logits, {name}", median_ratio(ours, whole), "x", detail)


def _run_whole(job: TrainJob) -> float:
    with mock.patch("delt_exp.trainer.module.only_labels", return_value=nullcontext()):
        return run_ours(job)
