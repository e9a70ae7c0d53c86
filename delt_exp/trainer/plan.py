"""From an order of documents to the exact batches of training.

The ordered documents form one stream: each is the tokenizer's begin token, its tokens, and an end-of-text token. Where
the begin token is the end-of-text token itself, the one that closes a document also begins the next. An item predicts
the stream positions (start, stop], except begin tokens that close no document: a model is always given that token, so
there is nothing to learn. Layout `packed`: item i is (i*L, (i+1)*L], so every token is predicted once and only the tail
is shorter; attention crosses the borders of documents, and positions run on. `packed_isolated`: the same items, but
attention stays inside a document, whose positions count from 0. Layout `padded`: an item stays inside one document. In
every layout a document that does not fit an item goes on in the next one, where its positions start at 0 again. Global
batch t is items [t*B, (t+1)*B), however many processes share it.
"""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.tokens import IGNORED, Tokens
from delt_exp.errors import ConfigError
from delt_exp.files import digest

ISOLATED = "packed_isolated"
Ints = NDArray[np.int64]


class Item(NamedTuple):
    """One training sequence: `labels[j]` is the token after `inputs[j]`, or IGNORED.

    first, last: plan positions of the first and the last document with a token in `labels`, whether it is predicted or
    not; last < first where there is nothing but a begin token. positions: of each input, from 0; where they fall back
    to 0, a document begins that sees nothing before it.
    """

    inputs: Ints
    labels: Ints
    first: int
    last: int
    positions: Ints


@dataclass(frozen=True, eq=False)
class Plan:
    """Which documents are trained, in which order and in which batches; equal digests train equal models.

    order: [P] corpus rows in training order, repetitions (epochs) included. context_tokens: L. batch_items: B.
    completion_only: the prompts of pairs are read but not predicted, as turns that no assistant wrote never are.
    num_items: how many items of the stream are trained. rows_per_sample: how many neighbouring items are one
    sample. num_left_out: documents that no item of this kind can hold.
    """

    rows_per_sample: ClassVar[int] = 1
    tokens: Tokens
    order: Ints
    layout: str
    context_tokens: int
    batch_items: int
    completion_only: bool
    num_items: int
    num_left_out: int = 0

    @property
    def num_steps(self) -> int:
        """Optimizer steps; the last one may have fewer items."""
        return -(-self.num_items // self.batch_items)

    @property
    def isolates_documents(self) -> bool:
        """Whether several documents of one item must not see each other, so that the network needs `positions`."""
        return self.layout == ISOLATED

    @cached_property
    def begins(self) -> Ints:
        """[P] stream position of the begin token before each document."""
        lengths = self.tokens.lengths[self.order] + (1 if self._is_shared else 2)
        return np.cumsum(lengths) - lengths

    @cached_property
    def ends(self) -> Ints:
        """[P] stream position of the end-of-text token that closes each document."""
        return np.asarray(self.begins + self.tokens.lengths[self.order] + 1)

    @property
    def _is_shared(self) -> bool:
        """Whether the token that closes a document is also the one that begins the next."""
        return self.tokens.begin_id == self.tokens.eos_id

    @cached_property
    def _first_items(self) -> Ints:
        """[P+1] padded layout: the item at which each document starts."""
        return np.concatenate([[0], np.cumsum(-(-(self.ends - self.begins) // self.context_tokens))])

    @cached_property
    def digest(self) -> str:
        """Hash of everything that decides the batches: the sequence of documents, not how it was chosen."""
        settings = [self.layout, self.context_tokens, self.batch_items, self.completion_only, self.num_items]
        return digest(self.tokens.meta["tokenizer"], self.tokens.ids[self.order], settings)

    def document_of(self, items: Any) -> Any:
        """Return the plan positions of the documents that items of the padded layout are in."""
        assert self.layout == "padded"
        return np.searchsorted(self._first_items, items, side="right") - 1

    def bounds(self, items: Any) -> tuple[Any, Any]:
        """Return (start, stop) of items: item i predicts the stream positions (start, stop]."""
        if self.layout != "padded":
            start, end = items * self.context_tokens, self.ends[-1]
        else:
            document = self.document_of(items)
            start = self.begins[document] + (items - self._first_items[document]) * self.context_tokens
            end = self.ends[document]
        return start, np.minimum(start + self.context_tokens, end)

    def item(self, index: int) -> Item:
        """Return item `index`, read through the memory map."""
        start, stop = (int(bound) for bound in self.bounds(index))
        # The document of position p is the first whose closing end-of-text is at or after p.
        holders = np.searchsorted(self.ends, [start, start + 1, stop])
        spans = [self._span(k, start, stop) for k in range(int(holders[0]), int(holders[2]) + 1)]
        ids = np.concatenate([ids for ids, _ in spans])
        predicted = np.concatenate([flags for _, flags in spans])[1:]
        labels = np.where(predicted, ids[1:], IGNORED)
        return Item(ids[:-1], labels, int(holders[1]), self._last_document(stop), self._positions(start, stop))

    def _positions(self, start: int, stop: int) -> Ints:
        """Positions of the inputs at the stream positions [start, stop)."""
        index = np.arange(stop - start)
        if not self.isolates_documents:
            return index
        # A begin token is the first input of its document, also where it closed the one before.
        first, last = np.searchsorted(self.begins, [start, stop - 1], side="right") - 1
        begins = np.maximum(self.begins[first : last + 1] - start, 0)
        return index - np.repeat(begins, np.diff(begins, append=len(index)))

    def _span(self, k: int, start: int, stop: int) -> tuple[Ints, NDArray[np.bool_]]:
        """Ids at the stream positions [start, stop] that document k puts there, and which are predicted."""
        row, base = int(self.order[k]), int(self.begins[k]) + 1
        length = int(self.ends[k]) - base
        first = 0 if k and self._is_shared else -1  # a begin token that closed the document before is that one's
        low, high = max(start - base, first), min(stop - base, length) + 1
        ids, predicted = np.full(high - low, self.tokens.eos_id, np.int64), np.ones(high - low, bool)
        if low < 0:
            ids[0], predicted[0] = self.tokens.begin_id, False
        inside = slice(max(low, 0), min(high, length))
        body = self.tokens.document(row, inside.start, inside.stop)
        here = slice(inside.start - low, inside.start - low + len(body))
        ids[here], predicted[here] = body, self._predicted(row, inside)
        return ids, predicted

    def _predicted(self, row: int, inside: slice) -> NDArray[np.bool_]:
        return self.tokens.predicted(row, inside.start, inside.stop, completion_only=self.completion_only)

    def _last_document(self, stop: Any) -> int:
        """Plan position of the last document with a token at the stream positions 1..stop."""
        return int(np.searchsorted(self.begins, stop)) - 1

    @property
    def trained_order(self) -> Ints:
        """Corpus rows of the documents of which any token is predicted, in training order, with their repetitions."""
        _, stop = self.bounds(np.asarray(self.num_items - 1))
        return self.order[: self._last_document(stop) + 1]

    @property
    def trained_rows(self) -> Ints:
        """Corpus rows of the documents of which any token is predicted, each once, ascending."""
        return np.unique(self.trained_order)

    def labels_per_step(self) -> Ints:
        """[num_steps] predicted tokens of each global batch."""
        start, stop = self.bounds(np.arange(self.num_items))
        labels = self._predicted_up_to(stop) - self._predicted_up_to(start)
        return np.add.reduceat(labels, np.arange(0, self.num_items, self.batch_items))

    def within(self, max_tokens: int) -> Self:
        """Return the plan up to the last full batch within a budget of predicted tokens; ConfigError if none fits."""
        labels = self.labels_per_step()
        steps = int(np.searchsorted(np.cumsum(labels), max_tokens, side="right"))
        if steps == 0:
            raise ConfigError(f"training.max_tokens is {max_tokens}, less than the {labels[0]} tokens of one batch")
        return replace(self, num_items=min(steps * self.batch_items, self.num_items))

    def positions_read(self) -> int:
        """Positions that the network reads in all steps, predicted or not, without padding: what training costs."""
        start, stop = self.bounds(np.arange(self.num_items))
        return int((stop - start).sum())

    def counts_per_step(self) -> Ints:
        """[num_steps] what the mean loss of each global batch divides by: its predicted tokens."""
        return self.labels_per_step()

    def whole_samples(self, num_items: int) -> int:
        """Return `num_items`, or as few more as make whole samples."""
        return -(-num_items // self.rows_per_sample) * self.rows_per_sample

    def _predicted_up_to(self, position: Ints) -> Ints:
        """Number of predicted tokens at stream positions 1..position."""
        k = np.minimum(np.searchsorted(self.ends, position), len(self.order) - 1)
        first, lengths = self.tokens.offsets[self.order[k]], self.tokens.lengths[self.order[k]]
        read = np.clip(position - self.begins[k], 0, lengths)
        return np.asarray(self._complete[k] + self._count(first, first + read) + (position == self.ends[k]))

    def num_predicted(self) -> int:
        """Return the predicted tokens of all documents of the order, their end-of-text tokens included."""
        return int(self._complete[-1])

    @cached_property
    def _complete(self) -> Ints:
        """[P+1] predicted tokens of the documents before each, their end-of-text tokens included."""
        first = self.tokens.offsets[self.order]
        return np.concatenate([[0], np.cumsum(self._count(first, first + self.tokens.lengths[self.order]) + 1)])

    def _count(self, first: Ints, last: Ints) -> Ints:
        """Number of predicted tokens in [first, last) of all tokens on disk."""
        before = partial(self.tokens.predicted_before, completion_only=self.completion_only)
        return before(last) - before(first)
