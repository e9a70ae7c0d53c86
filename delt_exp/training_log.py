"""What a training writes down while it runs: metrics, consumed sequences and checkpoints; all Lightning callbacks."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray

from delt_exp.files import file_sha256
from delt_exp.metrics_file import MetricsFile
from delt_exp.progress import Task, track
from delt_exp.verify import CONSUMED, multipliers


class StepLog(pl.Callback):
    """Writes the token-weighted loss of a global batch every `log_steps` steps and shows progress."""

    def __init__(self, path: Path, log_steps: int, targets: NDArray[np.int64]) -> None:
        self.file, self.log_steps = MetricsFile(path), log_steps
        self.targets, self.tokens = targets, np.cumsum(targets)
        self.started = time.monotonic()
        self._task: Task | None = None
        self._step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._step = trainer.global_step
        earlier = self.file.rows()
        self.started = time.monotonic() - (earlier[-1]["seconds"] if earlier else 0.0)
        if trainer.is_global_zero:
            self._show = track("training", len(self.targets), "steps")
            self._task = self._show.__enter__()
            self._task.advance(trainer.global_step)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        step = trainer.global_step
        if step == self._step:  # still accumulating
            return
        self._step = step
        loss = 0.0
        if step % self.log_steps == 0 or step == len(self.targets):
            total = trainer.strategy.reduce(pl_module.loss_sum, reduce_op="sum")
            loss = float(total) / int(self.targets[step - 1])
            if trainer.is_global_zero:
                self._write(trainer, pl_module, step, loss)
        pl_module.loss_sum = torch.zeros_like(pl_module.loss_sum)
        if self._task is not None:
            self._task.advance(1, f"loss {loss:.3f}" if loss else "")

    def _write(self, trainer: pl.Trainer, pl_module: Any, step: int, loss: float) -> None:
        schedule = pl_module.recipe.schedule.factor(step - 1, len(self.targets))
        self.file.append({
            "step": step,
            "tokens": int(self.tokens[step - 1]),
            "seconds": time.monotonic() - self.started,
            "train/loss": loss,
            "train/lr": pl_module.recipe.optimizer.lr * schedule,
            "train/grad_norm": float(pl_module.grad_norm),
        })  # fmt: skip

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if self._task is not None:
            self._show.__exit__(None, None, None)


class ConsumedLog(pl.Callback):
    """Remembers a digest of every sequence the model was given, with the optimizer step that used it.

    Each rank writes its own parts; a part ends where a checkpoint is taken, so that a restart can drop what came after.
    """

    def __init__(self, folder: Path, batch_items: int) -> None:
        self.folder, self.batch_items = folder, batch_items
        self.start = 0
        self.parts: list[tuple[int, torch.Tensor]] = []
        self.multipliers: dict[tuple[int, torch.device], tuple[torch.Tensor, ...]] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.start = trainer.global_step
        if trainer.is_global_zero:
            self.folder.mkdir(exist_ok=True)
            for part in self.folder.glob("*.npy"):
                if int(part.name.split("-")[0]) >= self.start:
                    part.unlink()
        trainer.strategy.barrier()

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        rows = torch.stack([batch["index"], batch["first"], batch["last"], self._digests(batch)])
        self.parts.append((trainer.global_step, rows))

    def _digests(self, batch: Any) -> torch.Tensor:
        inputs, labels = batch["inputs"], batch["labels"]
        where = (inputs.shape[1], inputs.device)
        if where not in self.multipliers:
            on_host = multipliers(inputs.shape[1])
            self.multipliers[where] = tuple(torch.from_numpy(m).to(inputs.device) for m in on_host)
        a_T, b_T = self.multipliers[where]
        inside = torch.arange(inputs.shape[1], device=inputs.device) < batch["lengths"][:, None]
        return (((inputs + 1) * a_T + (labels + 101) * b_T) * inside).sum(1)

    def flush(self, trainer: pl.Trainer) -> None:
        """Write what was consumed since the last call."""
        records = [_records(step, rows.cpu().numpy(), self.batch_items) for step, rows in self.parts]
        self.parts = []
        if records:
            np.save(self.folder / f"{self.start}-{trainer.global_rank}.npy", np.concatenate(records))
        self.start = trainer.global_step

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.flush(trainer)
        trainer.strategy.barrier()


def _records(step: int, rows: NDArray[np.int64], batch_items: int) -> NDArray[np.void]:
    index, first, last, digests = rows[:, rows[0] >= 0]
    records = np.zeros(len(index), CONSUMED)
    records["step"], records["slot"] = step, index % batch_items
    records["first"], records["last"], records["digest"] = first, last, digests
    return records


def merge_consumed(folder: Path) -> NDArray[np.void]:
    """Return the records of all ranks and restarts, sorted by step and slot."""
    parts = [np.load(part, allow_pickle=False) for part in sorted(folder.glob("*.npy"))]
    merged = np.concatenate([np.zeros(0, CONSUMED), *parts])
    return np.sort(merged, order=["step", "slot"])


class Checkpoints(pl.Callback):
    """Keeps the newest checkpoint, written aside and renamed, taken between optimizer steps."""

    def __init__(self, folder: Path, every_steps: int, consumed: ConsumedLog) -> None:
        self.folder, self.every_steps, self.consumed = folder, every_steps, consumed
        self._step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._step = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        step = trainer.global_step
        if step == self._step or step % self.every_steps:
            return
        self._step = step
        self.consumed.flush(trainer)
        trainer.strategy.barrier()
        aside = self.folder / f".step-{step}.ckpt"
        trainer.save_checkpoint(aside)
        if trainer.is_global_zero:
            older = list(self.folder.glob("step-*"))
            with aside.open("rb") as file:
                os.fsync(file.fileno())
            (self.folder / f"step-{step}.sha256").write_text(file_sha256(aside))
            aside.rename(self.folder / f"step-{step}.ckpt")
            for path in older:
                path.unlink()
        trainer.strategy.barrier()
