"""Training with weights that are learnt meanwhile, against the same training without weights.

CPU seconds of one thread; a tenth of the steps of every stage but the first are weighting steps. The first stage, in
which nothing is weighted, is not timed. The second row reads every batch beforehand, because a batch is two
micro-batches.
"""

import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.fixtures import config, tokenized, train_job
from benchmarks.table import Row, alternate, median_ratio, spread
from delt_exp.config.build import build
from delt_exp.dataset.stdlib import StdlibPairs
from delt_exp.distributed.ranks import Ranks
from delt_exp.store.store import Store
from delt_exp.trainer.job import TrainJob, Update, Weighter, Weights
from delt_exp.trainer.train import train
from delt_exp.weighter.none import NoWeighter

STAGES = 3


def measure(quick: bool) -> list[Row]:
    """Return one row for a batch in one pass, one for a batch in two."""
    torch.set_num_threads(1)
    num_steps, num_repeats = (12, 1) if quick else (90, 5)
    cfg = config("weighter=dwm", f"weighter.num_stages={STAGES}")
    with TemporaryDirectory() as folder:
        plain = replace(train_job(cfg, Path(folder), num_steps), weighter=NoWeighter())
        target, _ = tokenized(cfg, StdlibPairs("target", None), Store(Path(folder), "size"))
        learnt = replace(plain, weighter=build(cfg.weighter, "weighter"), target=target.tokens)
        return [
            _compare("one micro-batch", learnt, plain, num_repeats, 1.25),
            _compare("two micro-batches", _cut(learnt), _cut(plain), num_repeats, None),
        ]


def _cut(job: TrainJob) -> TrainJob:
    return replace(job, trainer=replace(job.trainer, micro_batch_items=job.plan.batch_items // 2))


def _compare(how: str, learnt: TrainJob, plain: TrainJob, num_repeats: int, aim: float | None) -> Row:
    ours, theirs = alternate(num_repeats, lambda: seconds(learnt), lambda: seconds(plain))
    what = f"training, 10 % weighting steps, batch of {how}"
    return Row(what, "plain training", median_ratio(ours, theirs), "x time", spread(ours, theirs), below=aim)


def seconds(job: TrainJob) -> float:
    """Return the CPU seconds of the steps after the first stage."""
    assert job.weighter is not None
    timed = Timed(job.weighter)
    with TemporaryDirectory() as folder:
        train(replace(job, weighter=timed), Path(folder))  # type: ignore[arg-type]
    return timed.ticks[-1] - timed.ticks[-(-len(timed.ticks) // STAGES) - 1]


class Timed:
    """Another weighter; notes the CPU seconds at the end of every step."""

    def __init__(self, weighter: Weighter) -> None:
        self.weighter = weighter
        self.ticks: list[float] = []

    def open(self, network: Any, job: TrainJob, ranks: Ranks) -> Weights:
        weights = self.weighter.open(network, job, ranks)
        learn = weights.after_step

        def after_step(update: Update) -> None:
            learn(update)
            self.ticks.append(time.process_time())

        weights.after_step = after_step  # type: ignore[method-assign]
        return weights
