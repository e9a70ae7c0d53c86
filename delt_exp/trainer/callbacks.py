"""What a training run writes down for its user and for a restart: metrics and checkpoints; Lightning callbacks."""

import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.distributed.tensor import DTensor

from delt_exp.files import file_sha256
from delt_exp.progress import Task, track
from delt_exp.trainer.divergence import diverged
from delt_exp.trainer.job import TrainJob
from delt_exp.trainer.metrics_file import MetricsFile
from delt_exp.trainer.proof.fingerprint import local
from delt_exp.trainer.proof.recorder import Recorder


class StepLog(pl.Callback):
    """Writes the token-weighted loss of a global batch every `log_steps` steps, shows progress, and stops divergence.

    Losses and gradient norms stay on the device until they are looked at: every `log_steps` steps and before every
    checkpoint, on a CPU at once. A step where one of them is not finite raises DivergedError, on all ranks together.
    """

    def __init__(self, path: Path, job: TrainJob) -> None:
        self.file, self.job = MetricsFile(path), job
        self.counts = job.plan.counts_per_step()
        self.tokens = np.cumsum(job.plan.labels_per_step())
        self.started = time.monotonic()
        self._task: Task | None = None
        self._step = 0
        self._unseen: list[tuple[int, torch.Tensor]] = []  # step, [loss_sum, grad_norm]

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._step = trainer.global_step
        earlier = self.file.rows()
        self.started = time.monotonic() - (earlier[-1]["seconds"] if earlier else 0.0)
        if trainer.is_global_zero:
            self._show = track("training", len(self.counts), "steps")
            self._task = self._show.__enter__()
            self._task.advance(trainer.global_step)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        step = trainer.global_step
        if step == self._step:  # still accumulating
            return
        self._step = step
        numbers = torch.stack([pl_module.loss_sum, pl_module.grad_norm.to(pl_module.loss_sum)])
        pl_module.loss_sum = torch.zeros_like(pl_module.loss_sum)
        self._unseen.append((step, numbers))
        is_logged = step % self.job.trainer.log_steps == 0 or step == len(self.counts)
        loss = 0.0
        if is_logged or step % self.job.trainer.checkpoint_steps == 0 or self._is_bad_at_once(trainer, numbers):
            loss, grad_norm = self._look(trainer)
        if is_logged and trainer.is_global_zero:
            self._write(step, loss, grad_norm, pl_module.weights.metrics())
        if self._task is not None:
            self._task.advance(1, f"loss {loss:.3f}" if loss else "")

    def _is_bad_at_once(self, trainer: pl.Trainer, numbers: torch.Tensor) -> bool:
        """Whether a number is not finite, where asking costs nothing and all ranks get the same answer."""
        common = numbers if trainer.world_size == 1 else numbers[1:]  # the gradient is that of all ranks
        return numbers.device.type == "cpu" and not _scales_loss(trainer) and not bool(common.isfinite().all())

    def _look(self, trainer: pl.Trainer) -> tuple[float, float]:
        """Return loss and gradient norm of the newest step; raises DivergedError for the first that is not finite."""
        steps, numbers_S2 = [step for step, _ in self._unseen], torch.stack([numbers for _, numbers in self._unseen])
        self._unseen = []
        sums = trainer.strategy.reduce(numbers_S2[:, 0].clone(), reduce_op="sum").tolist()
        losses = [total / int(self.counts[step - 1]) for step, total in zip(steps, sums, strict=True)]
        norms = numbers_S2[:, 1].tolist()
        for step, loss, norm in zip(steps, losses, norms, strict=True):
            if not math.isfinite(loss):
                raise diverged(self.job, step, f"the loss is {loss}", step - 1)
            if not math.isfinite(norm) and not _scales_loss(trainer):
                raise diverged(self.job, step, f"the norm of the gradient is {norm}", step - 1)
        return losses[-1], norms[-1]

    def _write(self, step: int, loss: float, grad_norm: float, of_weights: Mapping[str, float]) -> None:
        self.file.append({
            "step": step,
            "tokens": int(self.tokens[step - 1]),
            "seconds": time.monotonic() - self.started,
            "train/loss": loss,
            "train/lr": self.job.recipe.lr(step - 1, len(self.counts)),
            "train/grad_norm": grad_norm,
            **of_weights,
        })  # fmt: skip

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._close()
        parameters, num_steps = list(pl_module.network.parameters()), len(self.counts)
        own = torch.stack([(~local(parameter.detach()).isfinite()).sum() for parameter in parameters]).sum()
        # Shards add up; ranks that hold all weights count the same ones.
        bad = trainer.strategy.reduce(own, reduce_op="sum" if isinstance(parameters[0], DTensor) else "max")
        if bad:
            raise diverged(self.job, num_steps, f"{int(bad)} weights are not finite after the update", num_steps)

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._task is not None:
            self._task = None
            self._show.__exit__(None, None, None)


def _scales_loss(trainer: pl.Trainer) -> bool:
    """Whether a gradient that overflows only makes the precision plugin choose another scale."""
    return getattr(trainer.precision_plugin, "scaler", None) is not None


class Checkpoints(pl.Callback):
    """Keeps the newest checkpoint, written aside and renamed, taken between optimizer steps."""

    def __init__(self, folder: Path, every_steps: int, recorder: Recorder) -> None:
        self.folder, self.every_steps, self.recorder = folder, every_steps, recorder
        self._step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._step = trainer.global_step

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        step = trainer.global_step
        if step == self._step or step % self.every_steps:
            return
        self._step = step
        self.recorder.flush(trainer)
        trainer.strategy.barrier()
        aside = self.folder / f".step-{step}.ckpt"
        trainer.save_checkpoint(aside)
        if trainer.is_global_zero:
            # A checkpoint of this very step that was damaged leaves its checksum, which the new one takes over.
            older = [path for path in self.folder.glob("step-*") if path.stem != f"step-{step}"]
            with aside.open("rb") as file:
                os.fsync(file.fileno())
            (self.folder / f"step-{step}.sha256").write_text(file_sha256(aside))
            aside.rename(self.folder / f"step-{step}.ckpt")
            for path in older:
                path.unlink()
        trainer.strategy.barrier()
