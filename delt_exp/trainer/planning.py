"""How ordered documents become batches: the settings, and the plan that follows from them."""

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, settings
from delt_exp.corpus.tokens import Tokens
from delt_exp.errors import ConfigError, DataError
from delt_exp.trainer.plan import ISOLATED, Plan

Layout = Literal["packed", "packed_isolated", "padded"]


@settings
class PlanSettings:
    """How ordered documents become batches.

    layout: `packed` (one stream cut into sequences: a document sees those before it in its sequence, and positions run
    on), `packed_isolated` (the same sequences, but each document sees itself alone and counts positions from 0), or
    `padded` (a sequence inside one document). completion_only: the prompts of pairs are read but not predicted. Give
    `epochs`, or `max_tokens`: a budget of predicted tokens, for which the order repeats as often as needed and training
    ends with the last full batch inside it, so that arms of a comparison see equally many tokens.
    """

    layout: Layout
    epochs: Count | None
    max_tokens: Count | None
    completion_only: bool

    @property
    def isolates_documents(self) -> bool:
        """Whether the network has to keep the documents of a sequence apart."""
        return self.layout == ISOLATED

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.max_tokens is None):
            is_given = self.epochs is not None
            wrong = f"given ({self.epochs} and {self.max_tokens}), and each" if is_given else "null, and nothing"
            raise ConfigError(
                f"training.epochs and training.max_tokens are both {wrong} says how long to train; give one of them, "
                "and leave the other out or null; training.candidate_epochs is a third way"
            )


class EmptyBatchError(DataError):
    """A batch of a plan has nothing to predict."""


def make_plan(
    tokens: Tokens, order: NDArray[np.intp], settings: PlanSettings, *, context_tokens: int, batch_items: int
) -> Plan:
    """Return the plan that trains `order`; raises DataError when there is less than one batch."""
    once = np.asarray(order, np.int64)
    whole = Plan(tokens, once, settings.layout, context_tokens, batch_items, settings.completion_only, 0)
    whole = replace(whole, order=np.tile(once, _repetitions(whole, settings)))
    num_items = _count_items(whole)
    if num_items < batch_items:
        raise DataError(
            f"{len(once)} documents make {num_items} training sequences, fewer than one batch of {batch_items}; "
            "lower model.batch_items, keep more documents (selector) or use a larger train_dataset"
        )
    plan = replace(whole, num_items=num_items)
    if settings.max_tokens is not None:
        plan = plan.within(settings.max_tokens)
    _refuse_empty_batches(plan)
    return plan


def _refuse_empty_batches(plan: Plan) -> None:
    empty = np.flatnonzero(plan.labels_per_step() == 0)
    if len(empty):
        document = plan.item(int(empty[0]) * plan.batch_items).first
        raise EmptyBatchError(
            f"step {int(empty[0]) + 1} of {plan.num_steps} has nothing to predict: the prompt of document "
            f"{int(plan.order[document])} fills it, or turns that no assistant wrote do; "
            "raise model.batch_items or model.context_tokens, shorten prompts, or use training.completion_only=false"
        )


def _repetitions(once: Plan, settings: PlanSettings) -> int:
    if settings.max_tokens is None:
        return settings.epochs or 1
    return -(-settings.max_tokens // max(once.num_predicted(), 1))


def _count_items(plan: Plan) -> int:
    lengths = plan.ends - plan.begins if plan.layout == "padded" else plan.ends[-1:]
    return int((-(-lengths // plan.context_tokens)).sum())
