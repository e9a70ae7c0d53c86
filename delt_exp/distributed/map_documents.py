"""One judgement per batch over a corpus of any size: the way in which models read documents.

Who writes a judgement writes `open`, which loads a model and returns a function of one batch. Windows, batches of
similar length, shards, resume, progress and processes are done here, on `trainer.devices` processes of each of
`trainer.num_nodes` machines, with a GPU for each where there are any. Shards depend only on documents and settings, and
no batch crosses one, so that any number of workers, killed or joined on the way, give the same bytes. Each shard is a
Parquet file, which stays when another one fails.

W windows or D documents of a batch, K numbers of a document, N documents or groups, S documents of a group.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.tokens import Tokens
from delt_exp.corpus.windows import WindowBatch, Windowing, buckets, sum_over_windows, windows_of
from delt_exp.distributed.shards import Shards, cut
from delt_exp.distributed.workers import is_worker, local_device, run_workers, share_threads
from delt_exp.errors import DeltError
from delt_exp.files import digest
from delt_exp.progress import Task, say, track
from delt_exp.resources import Resources

MOST_FAILURES = 3  # shards of one worker; where more fail, single documents are not the reason

Numbers = NDArray[np.floating[Any]]
Advance = Callable[[int, int], None]
"""Told for every batch how many documents it begins, and how many tokens (of texts: at most) it reads."""


class Judge(Protocol):
    """What a model says of the windows of documents; a frozen dataclass of plain values and paths, so that it travels.

    The numbers of a document are the sums over its windows, added up in float64 and kept as `dtype`.
    """

    @property
    def width(self) -> int:
        """How many numbers a document gets."""

    @property
    def dtype(self) -> str:
        """`float32` or `float64`."""

    @property
    def windowing(self) -> Windowing:
        """Which positions of a document are read, in which windows."""

    def open(self, device: str) -> Callable[[WindowBatch], Numbers]:
        """Load what is needed, once, to `device`; return the function from a batch to [W, K], or [W] where K is 1."""


@dataclass(frozen=True, eq=False)
class TextBatch:
    """Documents of one pass, or all of one group: texts [D] and their ids [D].

    items: where they stand in the rows of the map [D]; of a group [1].
    """

    texts: list[str]
    ids: NDArray[np.uint64]
    items: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.items)

    def only(self, document: int) -> "TextBatch":
        """Return one document alone."""
        place = slice(document, document + 1)
        return TextBatch(self.texts[place], self.ids[place], self.items[place])


class TextJudge(Protocol):
    """What a model with a tokenizer of its own says of documents; a frozen dataclass as `Judge` is.

    context_tokens: how many tokens of a document are read at most; in a batch a document counts as so many, or as its
    bytes where they are fewer.
    """

    @property
    def width(self) -> int:
        """How many numbers a document, or a group, gets."""

    @property
    def dtype(self) -> str:
        """`float32` or `float64`."""

    @property
    def context_tokens(self) -> int: ...

    def open(self, device: str) -> Callable[[TextBatch], Numbers]:
        """Load what is needed, once, to `device`; return the function from a batch to [D, K], from a group to [K]."""


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
    return _map(resources, _Windows(tokens, np.asarray(rows), judge), folder, name, out)


def map_texts(
    resources: Resources, corpus: Corpus, rows: NDArray[np.intp], judge: TextJudge, folder: Path, name: str,
    out: Numbers | None = None,
) -> Numbers:  # fmt: skip
    """Return [N, K] like `map_documents`, from texts; rows [N, S] are groups, each of them judged in one call."""
    return _map(resources, _Texts(corpus, np.asarray(rows), judge), folder, name, out)


class _Items(Protocol):
    """What is judged, item by item, and by whom; a frozen dataclass that travels to the workers."""

    @property
    def judge(self) -> Judge | TextJudge: ...

    @property
    def source(self) -> str:
        """A hash of all that decides the numbers."""

    def sizes(self) -> NDArray[np.int64]:
        """Return [N] how many tokens of each item are read."""

    def ids(self, items: slice) -> NDArray[np.uint64]:
        """Return what names these items in their shard."""

    def read(self, judgement: Any, items: slice, batch_tokens: int, advance: Advance) -> Numbers:
        """Return the numbers of these items; raises _Failure with the place of a judgement that fails."""


@dataclass(frozen=True, eq=False)
class _Windows:
    """Documents as windows of tokens."""

    tokens: Tokens
    rows: NDArray[np.intp]
    judge: Judge

    @property
    def source(self) -> str:
        return digest(self.tokens.digest, self.rows, _settings(self.judge))

    def sizes(self) -> NDArray[np.int64]:
        return self.judge.windowing.sizes(self.tokens, self.rows)

    def ids(self, items: slice) -> NDArray[np.uint64]:
        return np.asarray(self.tokens.ids[self.rows[items]])

    def read(
        self, judgement: Callable[[WindowBatch], Numbers], items: slice, batch_tokens: int, advance: Advance
    ) -> Numbers:
        rows, windowing = self.rows[items], self.judge.windowing
        windows = windows_of(self.tokens, rows, windowing)
        advance(int(np.count_nonzero(windows.totals_D == 0)), 0)  # no batch begins what has no window

        def place(batch: WindowBatch) -> str:
            return _document(int(rows[batch.document_W[0]]), self.tokens.ids)

        def judged(batch: WindowBatch) -> Numbers:
            return _judged(judgement, batch, place).reshape(len(batch), self.judge.width)

        sums_NK = sum_over_windows(judged, windows, windowing.context_tokens, batch_tokens, advance)
        numbers_NK = np.empty((len(rows), self.judge.width), self.judge.dtype)
        numbers_NK[:] = sums_NK  # all 0 where no document has a window
        return numbers_NK


@dataclass(frozen=True, eq=False)
class _Texts:
    """Documents, or groups of documents, as texts."""

    corpus: Corpus
    rows: NDArray[np.intp]
    judge: TextJudge

    @property
    def source(self) -> str:
        return digest(self.corpus.digest, list(self.rows.shape), self.rows, _settings(self.judge))

    def sizes(self) -> NDArray[np.int64]:
        sizes = np.clip(self.corpus.whole_bytes[self.rows], 1, self.judge.context_tokens).astype(np.int64)
        return sizes if self.rows.ndim == 1 else sizes.sum(1)

    def ids(self, items: slice) -> NDArray[np.uint64]:
        if self.rows.ndim == 1:
            return np.asarray(self.corpus.ids[self.rows[items]])
        return np.arange(items.start, items.stop, dtype=np.uint64)

    def read(
        self, judgement: Callable[[TextBatch], Numbers], items: slice, batch_tokens: int, advance: Advance
    ) -> Numbers:
        sizes = replace(self, rows=self.rows[items]).sizes()
        passes: Iterable[NDArray[np.intp]] = np.arange(len(sizes))[:, None]
        if self.rows.ndim == 1:
            passes = buckets(sizes, self.judge.context_tokens, batch_tokens)
        numbers_NK = np.zeros((len(sizes), self.judge.width), self.judge.dtype)
        for chosen in passes:
            batch = self._batch(items.start + chosen)
            numbers_NK[chosen] = _judged(judgement, batch, self._place).reshape(len(chosen), self.judge.width)
            advance(len(chosen), int(sizes[chosen].sum()))
        return numbers_NK

    def _batch(self, items: NDArray[np.intp]) -> TextBatch:
        rows = self.rows[items].ravel()
        return TextBatch(list(self.corpus.texts(rows)), np.asarray(self.corpus.ids[rows]), items)

    def _place(self, batch: TextBatch) -> str:
        if self.rows.ndim == 1:
            return _document(int(self.rows[batch.items[0]]), self.corpus.ids)
        return f"group {batch.items[0]} of {len(self.rows)}"


def _settings(judge: Any) -> Any:
    """Return class and settings of a judge as text."""
    return [type(judge).__qualname__, repr(asdict(judge))]


def _document(row: int, ids: NDArray[np.uint64]) -> str:
    return f"document {row} (id {int(ids[row]):016x})"


class _Failure(Exception):  # noqa: N818 - it names a place, the error is its cause
    """A judgement failed: says where; its cause is the error."""


Batch = TypeVar("Batch", WindowBatch, TextBatch)


def _judged(judgement: Callable[[Batch], Numbers], batch: Batch, place: Callable[[Batch], str]) -> Numbers:
    """Return the judgement of a batch; where it fails, look for the document that fails by itself."""
    try:
        return judgement(batch)
    except Exception as error:
        for one in map(batch.only, range(len(batch)) if len(batch) > 1 else ()):
            try:
                judgement(one)
            except Exception as of_one:
                raise _Failure(place(one)) from of_one
        rest = f" and {len(batch) - 1} others in one batch, each of which succeeds alone" if len(batch) > 1 else ""
        raise _Failure(f"{place(batch)}{rest}") from error


@dataclass(frozen=True, eq=False)
class MapJob:
    """A map as its workers get it."""

    items: _Items
    shards: Shards
    batch_tokens: int
    device: str


def _map(resources: Resources, items: _Items, folder: Path, name: str, out: Numbers | None) -> Numbers:
    shards = Shards(folder, cut(items.sizes()), items.judge.width)
    shards.open(items.source)
    if missing := shards.missing():
        if len(missing) < len(shards):
            say(f"{name} continues: {len(shards) - len(missing)} of {len(shards)} shards are there")
        job = MapJob(items, shards, resources.runtime.tokens_per_pass(), resources.runtime.torch_device())
        with track(name, shards.num_items(missing), "documents") as task:
            if resources.trainer.world_size == 1 or len(missing) == 1:
                judge_shards(job, _Shown(task))
            else:
                watched = _Watched(task, shards, missing)
                run_workers(judge_shards, job, folder, resources.trainer, len(missing), watched)
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
            numbers_NK = job.items.read(judgement, items, job.batch_tokens, advance)
        except _Failure as failure:
            job.shards.fail(shard, str(failure), failure.__cause__ or failure)
            num_failures += 1
            if num_failures == MOST_FAILURES:
                return
        else:
            job.shards.write(shard, job.items.ids(items), numbers_NK)


def _opened(job: MapJob) -> Callable[[Any], Numbers]:
    """Return the judgement; in a worker, whose caller sees only files, a failure is that of the shard at hand."""
    if not is_worker():
        return job.items.judge.open(job.device)
    try:
        judgement = job.items.judge.open(local_device(job.device))
    except Exception as error:
        raise _Failure("while the model is loaded") from error
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
