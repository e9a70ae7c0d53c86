"""The batches of training on preferences: every document is two sequences, its chosen and its rejected side.

Items 2k and 2k + 1 are the sides of the document at plan position k, so that a pair lies in one global batch, and in
one forward pass, and is two sequences to the order proof. P documents, S steps.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.pairs import answer_tokens, fitting, pair, positions
from delt_exp.corpus.tokens import Tokens
from delt_exp.errors import DataError
from delt_exp.files import digest
from delt_exp.trainer.plan import Ints, Item, Plan
from delt_exp.trainer.planning import PlanSettings


@dataclass(frozen=True, eq=False)
class PairPlan(Plan):
    """A plan of preferences; num_items and batch_items count sequences, two per document.

    Left out are documents with an answer that does not fit the context; they are not in `order`.
    """

    rows_per_sample: ClassVar[int] = 2

    @property
    def digest(self) -> str:
        return digest("pairs", super().digest)

    def document_of(self, items: Ints) -> Ints:
        return items // 2

    def item(self, index: int) -> Item:
        side = pair(self.tokens, int(self.order[index // 2]), self.context_tokens)[index % 2]
        return Item(side.inputs, side.labels, index // 2, index // 2, np.arange(len(side.inputs)))

    @property
    def trained_order(self) -> Ints:
        return self.order[: self.num_items // 2]

    def labels_per_step(self) -> Ints:
        sizes = answer_tokens(self.tokens, self.order[: self.num_items // 2]).ravel()
        return np.add.reduceat(sizes, np.arange(0, self.num_items, self.batch_items))

    def positions_read(self) -> int:
        return int(positions(self.tokens, self.order[: self.num_items // 2], self.context_tokens).sum())

    def counts_per_step(self) -> Ints:
        starts = np.arange(0, self.num_items, self.batch_items)
        return np.diff(starts, append=self.num_items) // 2


def make_pair_plan(
    tokens: Tokens, order: NDArray[np.intp], settings: PlanSettings, *, context_tokens: int, batch_pairs: int
) -> PairPlan:
    """Return the plan that trains the preferences `order`, except those with an answer longer than the context.

    Raises DataError where not all documents are preferences, or there is less than one batch of them.
    """
    fits = fitting(tokens, context_tokens)[order]
    once = np.asarray(order, np.int64)[fits]
    if len(once) < batch_pairs:
        raise DataError(
            f"the answers of {len(once)} of {len(order)} preferences fit a context of {context_tokens} tokens, fewer "
            f"than one batch of {batch_pairs}; raise model.context_tokens, lower model.batch_items, or keep more "
            "documents"
        )
    repetitions = settings.epochs or 1
    if settings.max_tokens is not None:
        repetitions = -(-settings.max_tokens // int(answer_tokens(tokens, once).sum()))
    repeated = np.tile(once, repetitions)
    plan = PairPlan(
        tokens, repeated, settings.layout, context_tokens, 2 * batch_pairs, settings.completion_only, 2 * len(repeated),
        num_left_out=len(order) - len(once),
    )  # fmt: skip
    return plan if settings.max_tokens is None else plan.within(settings.max_tokens)
