"""Training packed sequences, against `transformers.Trainer` with one document per row padded to the maximum length."""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from benchmarks.fixtures import config, train_job
from benchmarks.steady import StopWatch, run_ours
from benchmarks.table import Row, alternate, median_ratio, spread
from delt_exp.corpus.tokens import IGNORED
from delt_exp.model.optimizer import AdamW
from delt_exp.trainer.job import TrainJob

CORPORA = ("news_agnews", "biomed_abstracts")
CONTEXT_TOKENS = 512
OVERRIDES = (f"model.context_tokens={CONTEXT_TOKENS}", "model.batch_items=8", "trainer.micro_batch_items=8")


def measure(quick: bool) -> list[Row]:
    """Return one row for each corpus of the local data folder that is there."""
    rows = []
    for name in CORPORA:
        cfg = config(f"train_dataset={name}", "corpus.max_document_chars=null", *OVERRIDES)
        if Path(cfg.train_dataset.path.format(split="train")).exists():
            rows.append(_compare(name, cfg, quick))
        else:
            logging.warning("train_padded: no %s in %s; set DELT_DATA_DIR", name, cfg.data_dir)
    return rows


def _compare(name: str, cfg: Any, quick: bool) -> Row:
    num_steps, num_repeats = (10, 1) if quick else (30, 5)
    with TemporaryDirectory() as folder:
        job = train_job(cfg, Path(folder), num_steps)
        rows = PaddedRows(job)
        ours, padded = alternate(num_repeats, lambda: run_ours(job), lambda: run_padded(job, rows))
    detail = f"tiny, rows of {CONTEXT_TOKENS}, {rows.share:.0%} of their positions useful; {spread(ours, padded)}"
    against = f"padded rows, `transformers.Trainer`, {name}"
    return Row("training, useful tokens/s", against, median_ratio(ours, padded), "x", detail)


class PaddedRows(Dataset[dict[str, torch.Tensor]]):
    """Documents in training order between end-of-text tokens, one a row, cut or padded to CONTEXT_TOKENS."""

    def __init__(self, job: TrainJob) -> None:
        self.tokens, self.num_steps, self.batch_items = job.plan.tokens, job.plan.num_steps, job.recipe.batch_items
        self.order = job.plan.order[: self.num_steps * self.batch_items]
        lengths = np.minimum(self.tokens.lengths[self.order] + 1, CONTEXT_TOKENS - 1)
        self.targets = lengths.reshape(self.num_steps, self.batch_items).sum(1).tolist()
        self.share = lengths.mean() / CONTEXT_TOKENS

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        body = self.tokens.document(int(self.order[index]), 0, CONTEXT_TOKENS - 1).astype(np.int64)
        ids = torch.full((CONTEXT_TOKENS,), self.tokens.eos_id)
        ids[1 : 1 + len(body)] = torch.from_numpy(body)
        used = torch.arange(CONTEXT_TOKENS) < len(body) + 2
        return {"input_ids": ids, "attention_mask": used.long(), "labels": ids.where(used, IGNORED)}


class _Watch(TrainerCallback):  # type: ignore[misc]
    def __init__(self) -> None:
        self.watch = StopWatch()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.watch.tick()


def run_padded(job: TrainJob, rows: PaddedRows) -> float:
    """Return the rate of `transformers.Trainer` with the optimizer, schedule and clipping of the recipe."""
    recipe, watch = job.recipe, _Watch()
    assert isinstance(recipe.optimizer, AdamW)
    with TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, max_steps=rows.num_steps, per_device_train_batch_size=rows.batch_items, use_cpu=True,
            learning_rate=recipe.optimizer.lr, weight_decay=recipe.optimizer.weight_decay, optim="adamw_torch_fused",
            lr_scheduler_type="cosine", max_grad_norm=recipe.clip_norm, train_sampling_strategy="sequential",
            logging_strategy="no", save_strategy="no", report_to="none", disable_tqdm=True,
        )  # fmt: skip
        network = recipe.make_network(job.tokenizer, job.seed)
        trainer = Trainer(network, arguments, train_dataset=rows, callbacks=[watch])
        trainer.remove_callback(PrinterCallback)  # it prints into the table
        trainer.train()
    return watch.watch.rate(rows.targets)
