"""The items of a map, such as documents as windows of tokens or as texts, read shard by shard.

K numbers of an item, N items, D documents of a shard.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import PurePath
from typing import Any, ClassVar, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.tokens import Tokens
from delt_exp.corpus.windows import WindowBatch, buckets, sum_over_windows, windows_of
from delt_exp.files import digest
from delt_exp.mapping.judge import Judge, Numbers, TextBatch, TextJudge

PATH_PARTS = 3  # at the end of a path: a stage, its key and a folder in it
Advance = Callable[[int, int], None]
"""Told for every batch how many items it begins, and how many tokens (of texts: at most) it reads."""


class Items(Protocol):
    """What is judged, item by item, and by whom; a frozen dataclass that travels to the workers.

    UNIT: what the progress display calls the items.
    """

    UNIT: ClassVar[str]

    @property
    def judge(self) -> Any:
        """A judge of such items, with `width`, `dtype` and `open`."""

    @property
    def source(self) -> str:
        """A hash of all that decides the numbers."""

    def sizes(self) -> NDArray[np.int64]:
        """Return [N] the tokens of each item that are read, or another measure of the time that it takes."""

    def ids(self, items: slice) -> NDArray[np.uint64]:
        """Return what names these items in their shard."""

    def read(self, judgement: Any, items: slice, batch_tokens: int, advance: Advance) -> Numbers:
        """Return the numbers of these items; raises JudgementError with the place of a judgement that fails."""


@dataclass(frozen=True, eq=False)
class TokenItems:
    """The documents `rows` of some tokens."""

    UNIT: ClassVar[str] = "documents"
    tokens: Tokens
    rows: NDArray[np.intp]
    judge: Any

    @property
    def source(self) -> str:
        return digest(self.tokens.digest, self.rows, settings_of(self.judge))

    def ids(self, items: slice) -> NDArray[np.uint64]:
        return np.asarray(self.tokens.ids[self.rows[items]])


@dataclass(frozen=True, eq=False)
class WindowItems(TokenItems):
    """Documents as windows of tokens."""

    judge: Judge

    def sizes(self) -> NDArray[np.int64]:
        return self.judge.windowing.sizes(self.tokens.lengths[self.rows])

    def read(
        self, judgement: Callable[[WindowBatch], Numbers], items: slice, batch_tokens: int, advance: Advance
    ) -> Numbers:
        rows, windowing = self.rows[items], self.judge.windowing
        windows = windows_of(self.tokens, rows, windowing)
        advance(int(np.count_nonzero(windows.totals_D == 0)), 0)  # no batch begins what has no window

        def place(batch: WindowBatch) -> str:
            return document_name(int(rows[batch.document_W[0]]), self.tokens.ids)

        def judge_batch(batch: WindowBatch) -> Numbers:
            return judged(judgement, batch, place, self.judge.width)

        sums_NK = sum_over_windows(judge_batch, windows, windowing.context_tokens, batch_tokens, advance)
        numbers_NK = np.empty((len(rows), self.judge.width), self.judge.dtype)
        numbers_NK[:] = sums_NK  # all 0 where no document has a window
        return numbers_NK


@dataclass(frozen=True, eq=False)
class TextItems:
    """Documents as texts."""

    UNIT: ClassVar[str] = "documents"
    corpus: Corpus
    rows: NDArray[np.intp]
    judge: TextJudge

    @property
    def source(self) -> str:
        return digest(self.corpus.digest, list(self.rows.shape), self.rows, settings_of(self.judge))

    def sizes(self) -> NDArray[np.int64]:
        return np.clip(self.corpus.whole_bytes[self.rows], 1, self.judge.context_tokens).astype(np.int64)

    def ids(self, items: slice) -> NDArray[np.uint64]:
        return np.asarray(self.corpus.ids[self.rows[items]])

    def read(
        self, judgement: Callable[[TextBatch], Numbers], items: slice, batch_tokens: int, advance: Advance
    ) -> Numbers:
        sizes, longest = replace(self, rows=self.rows[items]).sizes(), self.judge.context_tokens
        # A size is a bound, the same for all longer texts: among these, those of as many bytes need the least padding.
        by_bytes = np.argsort(-self.corpus.whole_bytes[self.rows[items]].astype(np.int64), kind="stable")

        def asked(chosen: NDArray[np.intp]) -> Numbers:
            return judged(judgement, self._batch(items.start + by_bytes[chosen]), self._place, self.judge.width)

        numbers_NK = in_batches(asked, sizes[by_bytes], longest, batch_tokens, self.judge, advance)
        return numbers_NK[np.argsort(by_bytes)]

    def _batch(self, items: NDArray[np.intp]) -> TextBatch:
        rows = self.rows[items]
        return TextBatch(list(self.corpus.texts(rows)), np.asarray(self.corpus.ids[rows]), items)

    def _place(self, batch: TextBatch) -> str:
        return document_name(int(self.rows[batch.items[0]]), self.corpus.ids)


def in_batches(
    asked: Callable[[NDArray[np.intp]], Numbers], sizes_N: NDArray[np.int64], longest: int, batch_tokens: int,
    judge: Any, advance: Advance,
) -> Numbers:  # fmt: skip
    """Return [N, K]: what `asked` says of some of N items, called for those of similar size together.

    judge: has K as `width`, and the `dtype` of the numbers. longest, batch_tokens: as for `buckets`.
    """
    numbers_NK = np.zeros((len(sizes_N), judge.width), judge.dtype)
    for chosen in buckets(sizes_N, longest, batch_tokens):
        numbers_NK[chosen] = asked(chosen)
        advance(len(chosen), int(sizes_N[chosen].sum()))
    return numbers_NK


def settings_of(judge: Any) -> Any:
    """Return class and settings of a judge as text; of a path its end alone, so that a store can be moved."""
    return [type(judge).__qualname__, repr(_without_places(asdict(judge)))]


def _without_places(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_places(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_places(one) for one in value]
    is_path = isinstance(value, PurePath) or (isinstance(value, str) and PurePath(value).is_absolute())
    return PurePath(value).parts[-PATH_PARTS:] if is_path else value


def document_name(row: int, ids: NDArray[np.uint64]) -> str:
    """Return what names a document in a message."""
    return f"document {row} (id {int(ids[row]):016x})"


class JudgementError(Exception):
    """A judgement failed; the message says where, the cause is what was raised."""


class _Batch(Protocol):
    def __len__(self) -> int: ...
    def only(self, item: int, /) -> Self: ...


Batch = TypeVar("Batch", bound=_Batch)


def judged(judgement: Callable[[Batch], Numbers], batch: Batch, place: Callable[[Batch], str], width: int) -> Numbers:
    """Return the judgement of a batch, [., K]; where it fails, look for the document that fails by itself."""
    try:
        numbers = judgement(batch)
        if numbers.size != len(batch) * width:
            raise ValueError(f"the judgement has the shape {numbers.shape} instead of {(len(batch), width)}")
        return numbers.reshape(len(batch), width)
    except Exception as error:
        for one in map(batch.only, range(len(batch)) if len(batch) > 1 else ()):
            judged(judgement, one, place, width)
        rest = f" and {len(batch) - 1} others in one batch, each of which succeeds alone" if len(batch) > 1 else ""
        raise JudgementError(f"{place(batch)}{rest}") from error
