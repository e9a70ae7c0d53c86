"""Useful tokens per second of a training after its first steps: three trainers under one stop-watch.

A token is useful when it is predicted; padding is not. The first WARM_STEPS steps are left out, so that imports, thread
pools and allocators count nowhere.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from delt_exp.trainer.job import TrainJob
from delt_exp.trainer.metrics_file import MetricsFile
from delt_exp.trainer.train import train

WARM_STEPS = 5


class StopWatch:
    """Takes the time at the end of every step."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def tick(self) -> None:
        self.seconds.append(time.perf_counter())

    def rate(self, tokens_per_step: Sequence[int]) -> float:
        """Return tokens per second of the steps after the warm ones."""
        return sum(tokens_per_step[WARM_STEPS:]) / (self.seconds[-1] - self.seconds[WARM_STEPS - 1])


def run_ours(job: TrainJob) -> float:
    """Return the rate of `delt_exp.trainer.train.train`, from its own metrics.csv, with
    reading, logging and proof.
    """
    with TemporaryDirectory() as folder:
        train(job, Path(folder))
        rows = MetricsFile(Path(folder) / "metrics.csv").rows()
    first, last = rows[WARM_STEPS - 1], rows[-1]
    return (last["tokens"] - first["tokens"]) / (last["seconds"] - first["seconds"])
