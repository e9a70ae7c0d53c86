"""Documents as models read them: in windows that do not overlap, padded on the right, in batches of similar length.

A document is a sequence of positions: begin token, its tokens, end-of-text. The label of a position is the token after
it. A document longer than the context is read in consecutive windows: every position counts once, but a window does
not see the ones before it. Everything here is NumPy, so that whoever plans the reading needs no torch.
D documents, W windows, T positions, K numbers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, settings
from delt_exp.corpus.tokens import IGNORED, Tokens

Ints = NDArray[np.int64]
Reads = Literal["all", "text", "beginning"]


@settings
class Windowing:
    """Which positions of a document are read, in windows of at most `context_tokens`.

    reads: `all` of them; those that predict the `text`, which leaves out the last two: every token is a label once, and
    end-of-text never is; or one window at the `beginning`, end-of-text included, which after a prompt that would fill
    it begins so late that half of it predicts text, where there is as much.
    """

    reads: Reads
    context_tokens: Count

    def sizes(self, lengths_D: Ints) -> Ints:
        """Return [D] how many positions are read of documents of these tokens; after a long prompt it may be fewer."""
        if self.reads == "beginning":
            return np.minimum(lengths_D + 1, self.context_tokens)
        return lengths_D + 2 if self.reads == "all" else lengths_D

    def first_positions(self, tokens: Tokens, rows: NDArray[np.intp]) -> Ints:
        """Return [D] the first position of each document that is read."""
        first_D = np.zeros(len(rows), np.int64)
        if self.reads == "beginning":
            for i in np.flatnonzero(tokens.num_predicted[rows] < tokens.lengths[rows]):
                first_D[i] = max(0, int(tokens.predicted(rows[i]).argmax()) - self.context_tokens // 2)
        return first_D


@dataclass(frozen=True, eq=False)
class WindowBatch:
    """Windows of one forward pass, padded on the right with end-of-text.

    A causal model needs no attention mask: padding after the end of a sequence changes nothing before it.
    labels_WT: IGNORED at padding, at what is not predicted (prompts, turns that no assistant wrote), and after the last
    position of a document. document_W: which document a window belongs to, counted from 0 in the rows that are read.
    """

    ids_WT: Ints
    labels_WT: Ints
    lengths_W: Ints
    document_W: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.ids_WT)

    def only(self, window: int) -> "WindowBatch":
        """Return one window alone, without padding."""
        place, length = slice(window, window + 1), int(self.lengths_W[window])
        ids, labels = self.ids_WT[place, :length], self.labels_WT[place, :length]
        return WindowBatch(ids, labels, self.lengths_W[place], self.document_W[place])


@dataclass(frozen=True, eq=False)
class Windows:
    """All windows of the documents `rows` [D] of `tokens`, in their order.

    totals_D: positions of each document that are read. document_W: which of `rows` a window belongs to. starts_W,
    lengths_W: its first position in the document, and how many it has. is_first_W: whether its document begins there.
    """

    tokens: Tokens
    rows: NDArray[np.intp]
    totals_D: Ints
    document_W: NDArray[np.intp]
    starts_W: Ints
    lengths_W: Ints
    is_first_W: NDArray[np.bool_]

    def batch(self, chosen: NDArray[np.intp]) -> WindowBatch:
        """Return the chosen windows, padded to the longest of them."""
        lengths_W, document_W = self.lengths_W[chosen], self.document_W[chosen]
        shape = (len(chosen), int(lengths_W.max()))
        ids_WT, labels_WT = np.full(shape, self.tokens.eos_id, np.int64), np.full(shape, IGNORED, np.int64)
        places = zip(self.rows[document_W].tolist(), self.starts_W[chosen].tolist(), lengths_W.tolist(), strict=True)
        for window, (row, start, length) in enumerate(places):
            body = self.tokens.document(row, max(start - 1, 0), start + length)
            first = int(start == 0)  # the begin token before the document
            ids_WT[window, :first] = self.tokens.begin_id
            inputs, labels = body[: length - first], body[1 - first :]
            ids_WT[window, first : first + len(inputs)] = inputs
            labels_WT[window, : len(labels)] = labels
            if self.tokens.has_unpredicted:
                is_predicted = self.tokens.predicted(row, start, start + length)
                labels_WT[window, : len(labels)][~is_predicted] = IGNORED
            if len(labels) < length and start + len(labels) == self.tokens.lengths[row]:
                labels_WT[window, len(labels)] = self.tokens.eos_id
        return WindowBatch(ids_WT, labels_WT, lengths_W, document_W)


def windows_of(tokens: Tokens, rows: NDArray[np.intp], windowing: Windowing) -> Windows:
    """Return the windows of the documents `rows`, in their order."""
    context = windowing.context_tokens
    first_D, totals_D = windowing.first_positions(tokens, rows), windowing.sizes(tokens.lengths[rows])
    if windowing.reads == "beginning":
        totals_D = np.minimum(tokens.lengths[rows] + 1 - first_D, context)
    counts_D = -(-totals_D // context)
    document_W = np.repeat(np.arange(len(rows)), counts_D)
    offsets_W = (np.arange(len(document_W)) - (np.cumsum(counts_D) - counts_D)[document_W]) * context
    lengths_W = np.minimum(totals_D[document_W] - offsets_W, context)
    return Windows(tokens, rows, totals_D, document_W, first_D[document_W] + offsets_W, lengths_W, offsets_W == 0)


def buckets(totals: Ints, context_tokens: int, batch_tokens: int) -> Iterator[NDArray[np.intp]]:
    """Yield the positions of items of similar length, longest first: at most `batch_tokens` padded, at least one item.

    totals: positions of each item, which is read in windows of `context_tokens`. The longest come first so that memory
    runs out at once if ever.
    """
    longest_first = np.argsort(-totals, kind="stable")
    num_windows = np.cumsum(-(-totals[longest_first] // context_tokens))
    begin, done = 0, 0
    while begin < len(longest_first):
        width = min(int(totals[longest_first[begin]]), context_tokens)
        end = max(begin + 1, int(np.searchsorted(num_windows, done + batch_tokens // width, side="right")))
        yield longest_first[begin:end]
        begin, done = end, int(num_windows[end - 1])


def sum_over_windows(
    judgement: Callable[[WindowBatch], NDArray[np.floating]], windows: Windows, context_tokens: int, batch_tokens: int,
    advance: Callable[[int, int], None] = lambda documents, positions: None,
) -> NDArray[np.float64]:  # fmt: skip
    """Return [D, K]: what `judgement` gives for each window, [W, K] or [W], added up over the windows of a document.

    Batches hold at most `batch_tokens` padded positions; what a document shares one with changes nothing but rounding.
    advance: told the documents begun and the positions read by each batch.
    """
    sums_DK: NDArray[np.float64] | None = None
    for chosen in buckets(windows.lengths_W, context_tokens, batch_tokens):
        values_WK = judgement(windows.batch(chosen)).reshape(len(chosen), -1)
        if sums_DK is None:
            sums_DK = np.zeros((len(windows.rows), values_WK.shape[1]))
        np.add.at(sums_DK, windows.document_W[chosen], values_WK)
        advance(int(np.count_nonzero(windows.is_first_W[chosen])), int(windows.lengths_W[chosen].sum()))
    return np.zeros((len(windows.rows), 1)) if sums_DK is None else sums_DK
