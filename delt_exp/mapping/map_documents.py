"""One judgement per batch over a corpus of any size: the way in which models read documents.

The author of a judgement writes `open`, which loads a model and returns a function of one batch. Windows, batches of
similar length, shards, resume, progress and processes are done here, on `trainer.devices` processes of each of
`trainer.num_nodes` machines, with a GPU for each where there are any. Shards depend only on documents and settings, and
no batch crosses one, so that any number of workers, killed or joined on the way, give the same bytes. Each shard is a
Parquet file, which stays when another one fails.

W windows or D documents of a batch, K numbers of a document, N documents.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.tokens import Tokens
from delt_exp.errors import DeltError
from delt_exp.mapping.items import Advance, Items, JudgementError, TextItems, WindowItems
from delt_exp.mapping.judge import Judge, Numbers, TextJudge
from delt_exp.mapping.shards import Shards, cut
from delt_exp.mapping.workers import free_gpu, is_worker, local_device, run_workers, share_threads
from delt_exp.progress import Task, say, track
from delt_exp.resources import Resources
from delt_exp.runtime import Runtime

MOST_FAILURES = 3  # shards of one worker, which then gives up: with so many, single documents are not the reason


def map_documents(
    resources: Resources, tokens: Tokens, rows: NDArray[np.intp], judge: Judge, folder: Path, name: str,
    out: Numbers | None = None,
) -> Numbers:  # fmt: skip
    """Return [N, K]: what `judge` says of the documents `rows` [N], in any order, repeated or not.

    folder: for the shards, seen by all workers; what an earlier call left there is used, unless it is damaged. name:
    for the progress display. out: an array to fill, such as a memory map, for results larger than memory. Raises
    DeltError with place and error of every shard that failed, after the others are done; StoreError for a folder that
    holds shards of other documents or of another judge.
    """
    return map_items(resources, WindowItems(tokens, np.asarray(rows), judge), folder, name, out)


def map_texts(
    resources: Resources, corpus: Corpus, rows: NDArray[np.intp], judge: TextJudge, folder: Path, name: str,
    out: Numbers | None = None,
) -> Numbers:  # fmt: skip
    """Return [N, K] like `map_documents`, from texts."""
    return map_items(resources, TextItems(corpus, np.asarray(rows), judge), folder, name, out)


@dataclass(frozen=True, eq=False)
class MapJob:
    """A map as its workers get it."""

    items: Items
    shards: Shards
    runtime: Runtime


def map_items(resources: Resources, items: Items, folder: Path, name: str, out: Numbers | None) -> Numbers:
    """Return the numbers of items of any kind; see `map_documents`."""
    shards = Shards(folder, cut(items.sizes()), items.judge.width)
    shards.open(items.source)
    if missing := shards.missing():
        if len(missing) < len(shards):
            say(f"{name} continues: {len(shards) - len(missing)} of {len(shards)} shards are there")
        job, trainer = MapJob(items, shards, resources.runtime), resources.trainer
        with track(name, shards.num_items(missing), items.UNIT) as task:
            if trainer.jobs_dir is None and (trainer.world_size == 1 or len(missing) == 1):
                judge_shards(job, _Shown(task))
                free_gpu()
            else:
                run_workers(judge_shards, job, folder, trainer, len(missing), _Watched(task, shards, missing))
        _check_finished(shards, name)
    shards.close()
    return _assembled(shards, items.judge, out)


def judge_shards(job: MapJob, advance: Advance = lambda documents, tokens: None) -> None:
    """Compute shards until none is left; any number of processes may do so at once.

    A shard whose judgement fails is noted and left out. Raises what opening the judge or writing a shard raises.
    """
    judgement, num_failures = None, 0
    for shard in job.shards.claims():
        items = job.shards.items(shard)
        try:
            judgement = judgement or _opened(job)
            numbers_NK = job.items.read(judgement, items, job.runtime.tokens_per_pass(), advance)
        except JudgementError as failure:
            job.shards.fail(shard, str(failure), failure.__cause__ or failure)
            num_failures += 1
            if num_failures == MOST_FAILURES:
                return
        else:
            job.shards.write(shard, job.items.ids(items), numbers_NK)


def _opened(job: MapJob) -> Callable[[Any], Numbers]:
    """Return the judgement; in a worker, whose caller sees only files, a failure is that of the shard at hand."""
    if not is_worker():
        return job.items.judge.open(job.runtime.torch_device())
    try:
        judgement = job.items.judge.open(local_device(job.runtime.torch_device()))
    except Exception as error:
        raise JudgementError("while the model is loaded") from error
    share_threads()
    return judgement


class _Shown:
    """Shows the progress of this process."""

    def __init__(self, task: Task) -> None:
        self.task, self.tokens = task, 0

    def __call__(self, documents: int, tokens: int) -> None:
        self.tokens += tokens
        rate = self.tokens / max(time.monotonic() - self.task.started, 1e-9)
        self.task.advance(documents, f"{rate:,.0f} tokens/s")


class _Watched:
    """Shows the progress of other processes by the shards that they finish."""

    def __init__(self, task: Task, shards: Shards, todo: list[int]) -> None:
        self.task, self.shards, self.todo = task, shards, todo

    def __call__(self) -> None:
        still = self.shards.missing()
        finished = self.shards.num_items(sorted(set(self.todo) - set(still)))
        self.task.advance(finished, f"{len(still)} shards left")
        self.todo = still


def _check_finished(shards: Shards, name: str) -> None:
    """Raise DeltError for shards that failed or that nobody computed."""
    failures, num_left = shards.failures(), len(shards.missing())
    if num_left:
        told = "; ".join(failures[:MOST_FAILURES]) or "their workers ended, with the messages above"
        more = f" and {len(failures) - MOST_FAILURES} more failed" if len(failures) > MOST_FAILURES else ""
        kept = f"{len(shards) - num_left} of {len(shards)} shards are kept"
        raise DeltError(f"{name}: {told}{more}. {kept}: repeat the command when the cause is repaired")


def _assembled(shards: Shards, judge: Judge | TextJudge, out: Numbers | None) -> Numbers:
    """Return the numbers of all shards, which are read one after the other."""
    if out is None:
        out = np.empty((int(shards.bounds[-1]), judge.width), judge.dtype)
    for shard in range(len(shards)):
        out[shards.items(shard)] = shards.read(shard)
    return out
