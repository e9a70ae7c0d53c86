"""From an order of documents to the exact batches of training.

The ordered documents form one stream: an end-of-text token first, then each document followed by another. An item
predicts the stream positions (start, stop]. Layout `packed`: item i is (i*L, (i+1)*L], so every token is predicted once
and only the tail is shorter; attention crosses the borders of documents, and positions run on. `packed_isolated`: the
same items, but attention stays inside a document, whose positions count from 0. Layout `padded`: an item stays inside
one document. In every layout a document that does not fit an item goes on in the next one, where its positions start at
0 again. Global batch t is items [t*B, (t+1)*B), however many processes share it.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from delt_exp.checks import check_choice, check_integer
from delt_exp.errors import ConfigError, DataError
from delt_exp.files import digest
from delt_exp.tokens import Tokens

IGNORED = -100  # label of a position that is not predicted, as in torch.nn.functional.cross_entropy
ISOLATED = "packed_isolated"
LAYOUTS = ("packed", ISOLATED, "padded")
Ints = NDArray[np.int64]


class Item(NamedTuple):
    """One training sequence: `labels[j]` is the token after `inputs[j]`, or IGNORED.

    first, last: plan positions of the first and the last document with a token in `labels`. positions: of each input,
    from 0; where they fall back to 0, a document begins that sees nothing before it.
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
    completion_only: prompts are read but not predicted. num_items: how many items of the stream are trained.
    """

    tokens: Tokens
    order: Ints
    layout: str
    context_tokens: int
    batch_items: int
    completion_only: bool
    num_items: int

    @property
    def num_steps(self) -> int:
        """Optimizer steps; the last one may have fewer items."""
        return -(-self.num_items // self.batch_items)

    @property
    def isolates_documents(self) -> bool:
        """Whether several documents of one item must not see each other, so that the network needs `positions`."""
        return self.layout == ISOLATED

    @cached_property
    def ends(self) -> Ints:
        """[P+1] stream position of the end-of-text token before each document, and of the last one."""
        return stream_ends(self.tokens, self.order)

    @cached_property
    def _first_items(self) -> Ints:
        """[P+1] padded layout: the item at which each document starts."""
        return np.concatenate([[0], np.cumsum(-(-np.diff(self.ends) // self.context_tokens))])

    @cached_property
    def digest(self) -> str:
        """Hash of everything that decides the batches: the sequence of documents, not how it was chosen."""
        settings = [self.layout, self.context_tokens, self.batch_items, self.completion_only, self.num_items]
        return digest(self.tokens.meta["tokenizer"], self.tokens.ids[self.order], settings)

    def bounds(self, items: Any) -> tuple[Any, Any]:
        """Return (start, stop) of items: item i predicts the stream positions (start, stop]."""
        if self.layout != "padded":
            start, end = items * self.context_tokens, self.ends[-1]
        else:
            document = np.searchsorted(self._first_items, items, side="right") - 1
            start = self.ends[document] + (items - self._first_items[document]) * self.context_tokens
            end = self.ends[document + 1]
        return start, np.minimum(start + self.context_tokens, end)

    def item(self, index: int) -> Item:
        """Return item `index`, read through the memory map."""
        start, stop = (int(bound) for bound in self.bounds(index))
        # The document that predicts position p is the first whose closing end-of-text is at or after p.
        first, last = (int(k) for k in np.searchsorted(self.ends[1:], [start + 1, stop]))
        spans = [self._span(k, start + 1, stop) for k in range(first, last + 1)]
        labels = np.concatenate([ids for ids, _ in spans])
        predicted = np.concatenate([flags for _, flags in spans])
        before = self._span(first, start, start)[0] if start > self.ends[first] else [self.tokens.eos_id]
        inputs, positions = np.concatenate([before, labels[:-1]]), self._positions(start, stop, first, last)
        return Item(inputs, np.where(predicted, labels, IGNORED), first, last, positions)

    def _positions(self, start: int, stop: int, first: int, last: int) -> Ints:
        """Positions of the inputs at stream positions [start, stop), which belong to the documents first .. last."""
        index = np.arange(stop - start)
        if not self.isolates_documents:
            return index
        begins = np.maximum(self.ends[first : last + 1] - start, 0)  # the separator before a document belongs to it
        return index - np.repeat(begins, np.diff(begins, append=len(index)))

    def _span(self, k: int, start: int, stop: int) -> tuple[Ints, NDArray[np.bool_]]:
        """Ids at the stream positions [start, stop] that belong to document k or close it, and which are predicted."""
        row, base = int(self.order[k]), int(self.ends[k]) + 1
        length = int(self.ends[k + 1]) - base
        low, high = max(start - base, 0), min(stop - base, length) + 1
        ids = np.full(high - low, self.tokens.eos_id, np.int64)
        if low < length:
            body = self.tokens.document(row, low, min(high, length))
            ids[: len(body)] = body
        skipped = int(self.tokens.prompt_tokens[row]) if self.completion_only else 0
        return ids, np.arange(low, high) >= skipped

    @property
    def trained_rows(self) -> Ints:
        """Corpus rows of the documents of which any token is predicted, each once, ascending."""
        _, stop = self.bounds(np.asarray(self.num_items - 1))
        return np.unique(self.order[: int(np.searchsorted(self.ends[1:], stop)) + 1])

    def targets_per_step(self) -> Ints:
        """[num_steps] predicted tokens of each global batch: the denominator of its token-weighted loss."""
        start, stop = self.bounds(np.arange(self.num_items))
        targets = self._predicted_up_to(stop) - self._predicted_up_to(start)
        return np.add.reduceat(targets, np.arange(0, self.num_items, self.batch_items))

    def _predicted_up_to(self, position: Ints) -> Ints:
        """Number of predicted tokens at stream positions 1..position."""
        if not self.completion_only:
            return position
        skipped = np.concatenate([[0], np.cumsum(self.tokens.prompt_tokens[self.order], dtype=np.int64)])
        k = np.searchsorted(self.ends[1:], position)  # positions up to the end: k documents are complete
        k = np.minimum(k, len(self.order) - 1)
        prompt = skipped[k + 1] - skipped[k]
        return np.asarray(position - skipped[k] - np.clip(position - self.ends[k], 0, prompt))


def stream_ends(tokens: Tokens, order: Ints) -> Ints:
    """Return [P+1] stream positions of the end-of-text tokens around the documents of `order`."""
    return np.concatenate([[0], np.cumsum(tokens.lengths[order] + 1)])


@dataclass(frozen=True)
class PlanSettings:
    """How ordered documents become batches.

    layout: `packed` (one stream cut into sequences: a document sees those before it in its sequence, and positions run
    on), `packed_isolated` (the same sequences, but each document sees itself alone and counts positions from 0), or
    `padded` (a sequence inside one document). completion_only: prompts are read but not predicted. Give `epochs`, or
    `max_tokens`: a budget of predicted tokens, for which the order repeats as often as needed and training ends with
    the last full batch inside it, so that arms of a comparison see equally many tokens.
    """

    layout: str
    epochs: int | None
    max_tokens: int | None
    completion_only: bool

    @property
    def isolates_documents(self) -> bool:
        """Whether the network has to keep the documents of a sequence apart."""
        return self.layout == ISOLATED

    def __post_init__(self) -> None:
        check_choice("training.layout", self.layout, LAYOUTS)
        if (self.epochs is None) == (self.max_tokens is None):
            raise ConfigError(
                f"give training.epochs or training.max_tokens, one of them: got {self.epochs}, {self.max_tokens}"
            )
        for name in ("epochs", "max_tokens"):
            if getattr(self, name) is not None:
                check_integer(f"training.{name}", getattr(self, name), at_least=1)


def make_plan(
    tokens: Tokens, order: NDArray[np.intp], settings: PlanSettings, *, context_tokens: int, batch_items: int
) -> Plan:
    """Return the plan that trains `order`; raises DataError when there is less than one batch."""
    once = np.asarray(order, np.int64)
    whole = Plan(
        tokens, _repeated(tokens, once, settings), settings.layout, context_tokens, batch_items,
        settings.completion_only, 0,
    )  # fmt: skip
    num_items = _count_items(whole)
    if num_items < batch_items:
        raise DataError(
            f"{len(once)} documents make {num_items} training sequences, fewer than one batch of {batch_items}; "
            "lower model.batch_items, keep more documents (selector) or use a larger train_dataset"
        )
    plan = replace(whole, num_items=num_items)
    if settings.max_tokens is not None:
        plan = replace(plan, num_items=_items_within(plan, settings.max_tokens))
    _refuse_empty_batches(plan)
    return plan


def _refuse_empty_batches(plan: Plan) -> None:
    empty = np.flatnonzero(plan.targets_per_step() == 0)
    if len(empty):
        document = plan.item(int(empty[0]) * plan.batch_items).first
        raise DataError(
            f"batch {empty[0]} has nothing to predict: the prompt of document {int(plan.order[document])} fills it; "
            "raise model.batch_items or model.context_tokens, shorten prompts, or use training.completion_only=false"
        )


def _repeated(tokens: Tokens, once: Ints, settings: PlanSettings) -> Ints:
    if settings.max_tokens is None:
        return np.tile(once, settings.epochs or 1)
    per_epoch = int(stream_ends(tokens, once)[-1])
    if settings.completion_only:
        per_epoch -= int(tokens.prompt_tokens[once].sum(dtype=np.int64))
    return np.tile(once, -(-settings.max_tokens // max(per_epoch, 1)))


def _count_items(plan: Plan) -> int:
    lengths = np.diff(plan.ends) if plan.layout == "padded" else plan.ends[-1:]
    return int((-(-lengths // plan.context_tokens)).sum())


def _items_within(plan: Plan, max_tokens: int) -> int:
    targets = plan.targets_per_step()
    steps = int(np.searchsorted(np.cumsum(targets), max_tokens, side="right"))
    if steps == 0:
        raise ConfigError(f"training.max_tokens is {max_tokens}, less than the {int(targets[0])} tokens of one batch")
    return min(steps * plan.batch_items, plan.num_items)
