"""Rehearses a run with stand-in scores: it selects, orders and plans, so that a bad setting costs nothing."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.mixture.mixed import mixed, refuse_preferences
from delt_exp.preference.reference import check_preferences
from delt_exp.selector.reading import ReadingSelector, would_keep
from delt_exp.steps.components import Components
from delt_exp.steps.tuning import held_out
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.trainer.job import Setup, plan_for


def rehearse(parts: Components, candidates: TokenizedCorpus, tokenizer: Tokenizer) -> None:
    """Select, order and plan by stand-in scores, so that a bad setting is refused before anything is scored."""
    parts.trainer.check_available()
    parts.runtime.check_available()
    seen = candidates.candidates(stand_in_goodness(len(candidates)))
    if isinstance(parts.selector, ReadingSelector):
        parts.selector.check(candidates)
    kept = would_keep(parts.selector, seen)
    order = kept[parts.orderer(seen.take(kept))]
    if mixed(parts.mixture, seen, candidates.tokens, order, parts.training).shares_G is not None:
        refuse_preferences(parts.model)
    parts.model.check(tokenizer)
    parts.protocol.check(parts.model)
    held_out(parts, candidates, order)
    check_preferences(parts.model, parts.training, parts.weighter)
    if parts.training.isolates_documents:
        from delt_exp.model.isolation import check_isolation

        check_isolation(parts.model.network.make(tokenizer, parts.seed))
    everything = plan_for(parts.model, candidates.tokens, np.arange(len(seen)), parts.training)
    parts.model.schedule.check(everything.num_steps)
    if parts.averaging is not None:
        parts.averaging.check(everything.num_steps)
    setup = Setup(parts.model, parts.training, parts.trainer)
    parts.weighter.check(setup, candidates.tokens, everything.num_steps)


def stand_in_goodness(num_documents: int) -> NDArray[np.float32]:
    """Return goodness that differs between all documents; one is as large as can be, so that a threshold keeps it."""
    goodness = np.arange(num_documents, dtype=np.float32)
    goodness[-1] = np.finfo(np.float32).max
    return goodness
