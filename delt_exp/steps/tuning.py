"""Tries the learning rates of a run's protocol on documents that the run leaves out of training."""

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.tokens import TokenizedCorpus, Tokens
from delt_exp.errors import DataError, DivergedError
from delt_exp.files import digest, read_json, write_json
from delt_exp.mapping.map_documents import map_documents
from delt_exp.model.token_loss import TokenLossJudge
from delt_exp.progress import say
from delt_exp.resources import Resources
from delt_exp.rows.draws import DRAWS, draw_of
from delt_exp.steps.components import Components
from delt_exp.steps.training import Training
from delt_exp.trainer.job import TrainedModel, TrainJob
from delt_exp.trainer.protocol import at_ratio

MIN_VALIDATION = 10  # documents; the loss on fewer tells rates apart by chance
Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Tuning:
    """The training run with the learning rate of its protocol, and what the record says of it.

    facts: `name` of the protocol and `lr`. Where rates were tried also `tried`, a list of {lr, loss [nats/token], null
    where training diverged}; the number of validation `documents`; and the `flops` of the training runs with the other
    rates, without those that diverged.
    """

    job: TrainJob
    facts: Mapping[str, Any]


class _Tried(NamedTuple):
    job: TrainJob
    loss: float | None
    flops: float


def held_out(parts: Components, documents: TokenizedCorpus, rows: Rows) -> tuple[Rows, Rows]:
    """Return the rows to train on, in their order, and those left out to compare learning rates on.

    None is left out unless rates are tried. Repetitions of a document are all on one side. Raises DataError for fewer
    than MIN_VALIDATION documents on either side.
    """
    if not parts.protocol.is_tuned:
        return rows, rows[:0]
    limit = parts.protocol.validation_share * DRAWS
    ids = np.asarray(documents.corpus.ids)[rows]
    draws = (draw_of(int(one), parts.seed, "documents to compare learning rates on") for one in ids)
    is_out = np.array([draw < limit for draw in draws], np.bool_)
    if min(is_out.sum(), (~is_out).sum()) < MIN_VALIDATION:
        raise DataError(
            f"training.protocol=tuned leaves {int(is_out.sum())} of {len(rows)} kept documents out to compare learning "
            f"rates on, and both sides need {MIN_VALIDATION}; keep more documents (selector), or change "
            f"training.validation_share ({parts.protocol.validation_share:g})"
        )
    return rows[~is_out], rows[is_out]


def tuned(training: Training, job: TrainJob, validation: Rows) -> Tuning:
    """Return the training run with the learning rate of the protocol; of equally good rates, with the smallest.

    Every rate that is tried is a stage, cached and resumed like any other. Raises DivergedError where training diverges
    at all of them.
    """
    protocol = training.parts.protocol
    facts: dict[str, Any] = {"name": protocol.protocol, "lr": job.recipe.optimizer.lr}
    if not protocol.is_tuned:
        return Tuning(job, facts)
    tried = [
        _tried(training, replace(job, recipe=at_ratio(job.recipe, ratio)), validation) for ratio in protocol.ratios
    ]
    best = min(tried, key=lambda one: math.inf if one.loss is None else one.loss)
    if best.loss is None:
        rates = ", ".join(f"{one.job.recipe.optimizer.lr:g}" for one in tried)
        raise DivergedError(f"training diverged at every learning rate ({rates}); lower training.tuned_ratios")
    rows = [{"lr": one.job.recipe.optimizer.lr, "loss": one.loss} for one in tried]
    others = sum(one.flops for one in tried if one is not best)
    facts |= {"lr": best.job.recipe.optimizer.lr, "tried": rows, "documents": len(validation), "flops": others}
    return Tuning(best.job, facts)


def _tried(training: Training, job: TrainJob, validation: Rows) -> _Tried:
    lr = job.recipe.optimizer.lr
    try:
        model = training.trained(job)
        loss = _loss(training.resources, model, job.plan.tokens, validation)
    except DivergedError as error:
        say(f"learning rate {lr:g}: {error}")
        return _Tried(job, None, 0.0)
    say(f"learning rate {lr:g}: loss {loss:.4f} on {len(validation)} documents left out of training")
    return _Tried(job, loss, float(model.result["flops"]))


def _loss(resources: Resources, model: TrainedModel, tokens: Tokens, rows: Rows) -> float:
    """Return the mean loss of documents [nats/token]; raises DivergedError for one that is not finite."""
    inputs = {
        "model": model.key,
        "tokens": tokens.digest,
        "documents": digest(np.asarray(tokens.ids)[rows]),
        "context_tokens": model.context_tokens,
        "format": 1,
    }

    def build(folder: Path) -> None:
        judge = TokenLossJudge(str(model.pretrained), None, model.context_tokens)
        sums = map_documents(resources, tokens, rows, judge, folder / "shards", "comparing learning rates")[:, 0]
        shutil.rmtree(folder / "shards")
        loss = float(sums.sum() / tokens.num_predicted[rows].sum())
        write_json(folder / "loss.json", loss if math.isfinite(loss) else None)

    loss = read_json(resources.store.get("validation", inputs, build).path / "loss.json")
    if loss is None:
        raise DivergedError("the loss on documents left out of training is not finite")
    return float(loss)
