"""Documents as the data scorer reads them, in training and inference alike: begin token, tokens, end-of-text.

A document longer than the context is read in consecutive windows that do not overlap: every token counts once, but a
window does not see the ones before it. W windows, T positions, D documents.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delt_exp.corpus.tokens import Tokens


class Batch(NamedTuple):
    """Windows of one forward pass, padded on the right; document_W counts from 0 within the rows they came from."""

    ids_WT: Tensor
    lengths_W: Tensor
    document_W: Tensor


@dataclass(frozen=True, eq=False)
class Windows:
    """All windows of the documents `rows` [D] of `tokens`, in their order.

    totals_D: positions of each document, both tokens around it included. document_W: which of `rows` a window
    belongs to. starts_W, lengths_W: where in the document it begins, and its positions.
    """

    tokens: Tokens
    rows: NDArray[np.intp]
    totals_D: NDArray[np.int64]
    document_W: NDArray[np.intp]
    starts_W: NDArray[np.int64]
    lengths_W: NDArray[np.int64]

    def batch(self, chosen: NDArray[np.intp]) -> Batch:
        """Return the chosen windows, padded to the longest of them."""
        lengths_W, document_W = self.lengths_W[chosen], self.document_W[chosen]
        ids_WT = np.full((len(chosen), lengths_W.max()), self.tokens.eos_id, np.int64)
        for window, (row, start) in enumerate(zip(self.rows[document_W], self.starts_W[chosen], strict=True)):
            ids = self.tokens.document(row, max(start - 1, 0), start - 1 + lengths_W[window])
            first = int(start == 0)  # the begin token before the document
            ids_WT[window, :first] = self.tokens.begin_id
            ids_WT[window, first : first + len(ids)] = ids
        return Batch(torch.from_numpy(ids_WT), torch.from_numpy(lengths_W), torch.from_numpy(document_W))


def windows_of(tokens: Tokens, rows: NDArray[np.intp], context_tokens: int) -> Windows:
    """Return the windows of the documents `rows`, each of at most `context_tokens` positions."""
    totals_D = tokens.lengths[rows] + 2
    counts_D = -(-totals_D // context_tokens)
    document_W = np.repeat(np.arange(len(rows)), counts_D)
    starts_W = (np.arange(len(document_W)) - (np.cumsum(counts_D) - counts_D)[document_W]) * context_tokens
    lengths_W = np.minimum(totals_D[document_W] - starts_W, context_tokens)
    return Windows(tokens, rows, totals_D, document_W, starts_W, lengths_W)


def buckets(totals: NDArray[np.int64], context_tokens: int, batch_tokens: int) -> Iterator[NDArray[np.intp]]:
    """Yield the positions of items of similar length, longest first: at most `batch_tokens` padded, at least one item.

    totals: positions of each item, which is read in windows of `context_tokens`.
    """
    longest_first = np.argsort(-totals, kind="stable")
    num_windows = np.cumsum(-(-totals[longest_first] // context_tokens))
    begin, done = 0, 0
    while begin < len(longest_first):
        width = min(int(totals[longest_first[begin]]), context_tokens)
        end = max(begin + 1, int(np.searchsorted(num_windows, done + batch_tokens // width, side="right")))
        yield longest_first[begin:end]
        begin, done = end, int(num_windows[end - 1])
