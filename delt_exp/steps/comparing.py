"""Trains the baseline of a run and compares the two."""

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delt_exp.baseline.answer import VERSION, Answer, answers
from delt_exp.baseline.none import no_baseline
from delt_exp.errors import DeltError
from delt_exp.eval_dataset.base import Evaluation
from delt_exp.files import read_json, write_json
from delt_exp.mixture.none import none as no_mixture
from delt_exp.orderer.shuffle import shuffle
from delt_exp.progress import say
from delt_exp.report.outcome import Compared, Outcome
from delt_exp.report.stages import BASELINE
from delt_exp.scorer.random import RandomScorer
from delt_exp.selector.quota import quota
from delt_exp.selector.reading import ReadingSelector, needs_of
from delt_exp.steps.components import Components
from delt_exp.steps.training import Training
from delt_exp.steps.tuning import held_out, tuned
from delt_exp.store.store import Store
from delt_exp.trainer.job import TrainJob, Weighter, plan_for
from delt_exp.weighter.none import NoWeighter


def has_baseline(parts: Components) -> bool:
    """Whether a baseline was asked for and is to be trained."""
    return not _is(parts.baseline, no_baseline) and not needless(parts)


def needless(parts: Components) -> str:
    """Return why a baseline would tell nothing; an empty string where it would tell something."""
    if not parts.eval_dataset:
        return "there is no eval_dataset to compare on"
    if _is_random(parts):
        return "this run is itself a baseline: its documents and their order are random"
    return ""


def compare(training: Training, outcome: Outcome) -> Compared | None:
    """Train the baseline and return how the run differs from it, or why that is not known.

    None where no baseline is asked for.
    """
    parts, clock = training.parts, time.monotonic()
    order = parts.baseline(training.seen, len(outcome.kept))
    if order is None:
        return None
    try:
        rows, validation = held_out(parts, outcome.candidates, order)
        reason = needless(parts) or _same(job := _job(training, outcome, rows), outcome, parts.weighter)
        if reason:
            return Compared(skipped=reason)
        with training.resources.store.serves(BASELINE):
            model = training.trained(tuned(training, job, validation).job)
            evaluations = training.evaluated(model)
    except DeltError as error:  # the run itself is finished and must not be lost
        say(f"the baseline failed: {error}")
        return Compared(skipped=f"the baseline failed: {error}")
    return Compared(
        seconds=time.monotonic() - clock,
        documents=len(order),
        model=model,
        evaluations=evaluations,
        answers=_answers(training.resources.store, outcome.evaluations, evaluations),
    )


def _answers(store: Store, run: Mapping[str, Evaluation], baseline: Mapping[str, Evaluation]) -> list[Answer]:
    """Return the differences of the two. A stage, because loading what computes them takes longer than a cached run."""

    def build(folder: Path) -> None:
        write_json(folder / "answers.json", [asdict(one) for one in answers(run, baseline)])

    evaluated = {name: [found.folder.name, baseline[name].folder.name] for name, found in run.items()}
    use = store.get("answers", {"version": VERSION, "evaluations": evaluated}, build)
    return [Answer(**row) for row in read_json(use.path / "answers.json")]


def _job(training: Training, outcome: Outcome, order: NDArray[np.intp]) -> TrainJob:
    """Return the training run of the baseline, on as many tokens as that of the run.

    Documents differ in length, so that epochs of as many documents would not be one budget.
    """
    parts, budget = training.parts, training.parts.training
    if budget.max_tokens is None:
        budget = replace(budget, epochs=None, max_tokens=int(outcome.plan.labels_per_step().sum()))
    plan = plan_for(parts.model, outcome.candidates.tokens, order, budget)
    tokenizer = training.resources.run_tokenizer
    return TrainJob(parts.model, plan, tokenizer, parts.trainer, parts.seed, weighter=NoWeighter())


def _same(job: TrainJob, outcome: Outcome, weighter: Weighter) -> str:
    same = job.plan.digest == outcome.plan.digest and isinstance(weighter, NoWeighter)
    return "it would train the same documents in the same order as this run" if same else ""


def _is_random(parts: Components) -> bool:
    """Whether chance alone decides which documents are trained, and in which order."""
    reads = isinstance(parts.selector, ReadingSelector)
    chooses = reads or ("scores" in needs_of(parts.selector) and not isinstance(parts.scorer, RandomScorer))
    is_mixed = _weighs_sources(parts.selector) or not _is(parts.mixture, no_mixture)
    is_weighed = not isinstance(parts.weighter, NoWeighter)
    return not (chooses or is_mixed or is_weighed) and _is(parts.orderer, shuffle)


def _weighs_sources(selector: object) -> bool:
    return isinstance(selector, partial) and selector.func is quota and selector.keywords["shares"] != "proportional"


def _is(function: object, known: object) -> bool:
    return isinstance(function, partial) and function.func is known
