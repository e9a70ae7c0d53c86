"""Training against a bare PyTorch loop: same model, batches, optimizer and clipping, nothing else.

Both run in one process and take turns: after every BLOCK_STEPS optimizer steps ours stands still while the loop does as
many. A block of ours has everything a step costs: reading, Lightning, metrics, proof of order and checkpoints.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from benchmarks.fixtures import config, train_job
from benchmarks.table import Row, median_ratio, spread
from delt_exp.corpus.tokens import IGNORED
from delt_exp.model.optimizer import AdamW
from delt_exp.trainer.datamodule import OrderedDataModule
from delt_exp.trainer.job import TrainJob
from delt_exp.trainer.train import train

BLOCK_STEPS = 5


@dataclass(frozen=True)
class WatchedAdamW(AdamW):
    """The same optimizer, calling `on_step` after each step."""

    on_step: Callable[[], None]

    def make(self, network: torch.nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer over the parameters of a network."""
        optimizer = super().make(network)
        optimizer.register_step_post_hook(lambda *_: self.on_step())
        return optimizer


class Turns:
    """Seconds of each block of both sides; `bare` does one step of the loop whenever it is asked."""

    def __init__(self, bare: Iterator[None]) -> None:
        self.bare, self.steps, self.started = bare, 0, 0.0
        self.ours_seconds: list[float] = []
        self.bare_seconds: list[float] = []

    def on_step(self) -> None:
        """End a step of ours, and at the end of a block let the loop do one."""
        self.steps += 1
        if self.steps % BLOCK_STEPS:
            return
        if self.steps > BLOCK_STEPS:  # the first block warms up
            self.ours_seconds.append(time.perf_counter() - self.started)
        started = time.perf_counter()
        for _ in range(BLOCK_STEPS):
            next(self.bare)
        self.started = time.perf_counter()
        if self.steps > BLOCK_STEPS:
            self.bare_seconds.append(self.started - started)


def measure(quick: bool) -> list[Row]:
    """Return our rate over that of the loop, for `model=tiny trainer=cpu`."""
    num_steps = 30 if quick else 205
    with TemporaryDirectory() as store, TemporaryDirectory() as folder:
        job = train_job(config("model=tiny", "trainer=cpu"), Path(store), num_steps)
        turns = Turns(bare_steps(job))
        watched = WatchedAdamW(**vars(job.recipe.optimizer), on_step=turns.on_step)
        train(replace(job, recipe=replace(job.recipe, optimizer=watched)), Path(folder))
    sides = (turns.bare_seconds, turns.ours_seconds)  # equally many tokens: rates are as the inverse seconds
    detail = f"blocks of {BLOCK_STEPS} steps of tiny, {torch.get_num_threads()} threads; {spread(*sides)}"
    return [Row("training, useful tokens/s", "bare loop", median_ratio(*sides), "x", detail, at_least=0.95)]


def bare_steps(job: TrainJob) -> Iterator[None]:
    """Do one optimizer step of the plainest loop for each item asked of it; its batches are tensors already."""
    loader = OrderedDataModule(job.plan, job.recipe.batch_items, num_workers=0).train_dataloader()
    batches: list[dict[str, Any]] = list(loader)
    network = job.recipe.make_network(job.tokenizer, job.seed).train()
    optimizer = job.recipe.optimizer.make(network)
    for batch in batches:
        logits_BTV = network(input_ids=batch["input_ids"], use_cache=False).logits
        cross_entropy(logits_BTV.flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORED).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), job.recipe.clip_norm or math.inf)
        optimizer.step()
        optimizer.zero_grad()
        yield
