"""Rehearses a run with stand-in scores: it selects, orders and plans, so that a bad setting costs nothing."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from delt_exp.alignment.base import NeedsDocuments
from delt_exp.config.stop import Stop
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.errors import DeltError
from delt_exp.mixture.mixed import mixed, refuse_preferences
from delt_exp.preference.reference import check_preferences
from delt_exp.progress import say
from delt_exp.scorer.base import ReadsFiles
from delt_exp.selector import Selector
from delt_exp.selector.reading import ReadingSelector, would_keep
from delt_exp.steps.components import Components
from delt_exp.steps.reading import evaluation_texts
from delt_exp.steps.tuning import held_out
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.trainer.job import Setup, plan_for


def check_at_hand(parts: Components) -> None:
    """Raise DeltError for devices and files of the scorer that this machine does not have; before the corpus is read.

    The files of datasets have been checked by `check_files`.
    """
    parts.trainer.check_available()
    parts.runtime.check_available()
    if isinstance(parts.scorer, ReadsFiles):
        parts.scorer.check_files()


def rehearse(
    parts: Components, candidates: TokenizedCorpus, tokenizer: Tokenizer, stop_after: Stop | None = None
) -> None:
    """Select, order and plan by stand-in scores, so that a bad setting is refused before anything is scored.

    Where the run stops before anything is trained, what training would refuse is said and no reason to stop.
    """
    seen = candidates.candidates(stand_in_goodness(len(candidates)))
    if isinstance(parts.selector, ReadingSelector):
        parts.selector.check(candidates, tokenizer)
    kept = would_keep(parts.selector, seen)
    order = kept[parts.orderer(seen.take(kept))]
    is_mixed = mixed(parts.mixture, seen, candidates.tokens, order, parts.training).shares_G is not None
    if is_mixed:
        refuse_preferences(parts.model)
    parts.model.check(tokenizer)
    parts.protocol.check(parts.model)
    held_out(parts, candidates, order)
    try:
        _check_training(parts, candidates, tokenizer, is_mixed=is_mixed)
    except DeltError as error:
        selects_by_training = isinstance(parts.selector, ReadingSelector) and stop_after != "scores"
        if stop_after is None or selects_by_training:
            raise
        say(f"this run stops before training, which would be refused: {error}")


def _check_training(parts: Components, candidates: TokenizedCorpus, tokenizer: Tokenizer, *, is_mixed: bool) -> None:
    check_preferences(parts.model, parts.training, parts.weighter)
    if parts.training.isolates_documents:
        from delt_exp.model.isolation import check_isolation

        check_isolation(parts.model.network.make(tokenizer, parts.seed))
    count = known_count(parts.selector, candidates)
    _check_alignment(parts, len(candidates), count)
    _check_steps(parts, candidates, None if is_mixed else count)


def known_count(selector: Selector | ReadingSelector, candidates: TokenizedCorpus) -> int | None:
    """Return how many documents a selector keeps, whatever their scores; None where scores decide it."""
    rising = np.arange(len(candidates), dtype=np.float32)
    goodness = (rising, rising[::-1].copy(), np.full_like(rising, np.finfo(np.float32).max))  # of these, all are high
    try:
        counts = {len(would_keep(selector, candidates.candidates(one))) for one in goodness}
    except DeltError:  # of equal scores, no quantile is above another
        return None
    return counts.pop() if len(counts) == 1 else None


def _check_alignment(parts: Components, num_candidates: int, num_kept: int | None) -> None:
    metrics = [metric for metric in parts.alignment.values() if isinstance(metric, NeedsDocuments)]
    if not metrics:
        return  # most runs: their evaluation sets are read once, later
    counts = {"the candidates": num_candidates} | ({} if num_kept is None else {"the selection": num_kept})
    counts |= {f"evaluation set {name}": len(text) for name, text in evaluation_texts(parts).items()}
    for metric, (place, count) in product(metrics, counts.items()):
        metric.check_documents(count, place)


def _check_steps(parts: Components, candidates: TokenizedCorpus, count: int | None) -> None:
    """Check what depends on the number of steps, of which there are at most as many as the longest documents make.

    count: of the kept documents, None where it is not known, or a mixture repeats some. Then, and for preferences, of
    which the longest do not fit, all candidates stand for them.
    """
    rows = np.arange(len(candidates))
    if count is not None and parts.model.objective.rows_per_sample == 1:
        rows = np.argsort(-candidates.tokens.lengths, kind="stable")[:count]
    num_steps = plan_for(parts.model, candidates.tokens, rows, parts.training).num_steps
    parts.model.schedule.check(num_steps)
    if parts.averaging is not None:
        parts.averaging.check(num_steps)
    parts.weighter.check(Setup(parts.model, parts.training, parts.trainer), candidates.tokens, num_steps)


def stand_in_goodness(num_documents: int) -> NDArray[np.float32]:
    """Return goodness that differs between all documents; one is as large as can be, so that a threshold keeps it."""
    goodness = np.arange(num_documents, dtype=np.float32)
    goodness[-1] = np.finfo(np.float32).max
    return goodness
