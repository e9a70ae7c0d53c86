"""Training with weights that are learnt meanwhile, against the same training without weights.

A tenth of the steps of every stage but the first are weighting steps. The first stage, in which nothing is weighted, is
not timed. The second row reads every batch beforehand, because a batch is two micro-batches.
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.fixtures import config, tokenized, train_job
from benchmarks.table import Row, alternate, median_ratio, spread
from delt_exp.config.build import build
from delt_exp.dataset.stdlib import StdlibPairs
from delt_exp.store.store import Store
from delt_exp.trainer.job import TrainJob
from delt_exp.trainer.metrics_file import MetricsFile
from delt_exp.trainer.train import train
from delt_exp.weighter.none import NoWeighter

STAGES = 3


def measure(quick: bool) -> list[Row]:
    """Return one row for a batch in one pass, one for a batch in two."""
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
    """Return the seconds of the steps after the first stage, from metrics.csv."""
    with TemporaryDirectory() as folder:
        train(job, Path(folder))
        rows = MetricsFile(Path(folder) / "metrics.csv").rows()
    return rows[-1]["seconds"] - rows[-(-len(rows) // STAGES) - 1]["seconds"]
