"""The whole data flow: score, select, order, train, evaluate, report."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from delt_exp.alignment.run import run_alignment
from delt_exp.config.run_name import RunInfo
from delt_exp.config.stop import check_stop
from delt_exp.corpus.stages import text_stage
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.dry_run import phase_flops
from delt_exp.eval_dataset.references import loss_references
from delt_exp.eval_dataset.text_loss import TextLoss
from delt_exp.files import disk_errors, locked
from delt_exp.logger.base import RunLogger
from delt_exp.logger.journal import Phase, journal
from delt_exp.pretrained.loading import check_models
from delt_exp.report.outcome import Outcome, Prepared
from delt_exp.report.prepared import write_prepared
from delt_exp.report.record import earlier_record
from delt_exp.report.run_folder import write_run
from delt_exp.report.stages import TUNING
from delt_exp.resources import Resources
from delt_exp.scorer.stage import scores_stage
from delt_exp.selector.reading import needs_of
from delt_exp.steps.comparing import compare, has_baseline
from delt_exp.steps.components import Components, build_components, with_budget
from delt_exp.steps.reading import evaluation_texts, read, read_evaluation
from delt_exp.steps.rehearsal import rehearse
from delt_exp.steps.selecting import select
from delt_exp.steps.time_left import TimeLeft, phases_of
from delt_exp.steps.training import Training
from delt_exp.steps.tuning import held_out, tuned
from delt_exp.trainer.plan import Plan
from delt_exp.trainer.train import OnMetrics


def run(cfg: DictConfig, info: RunInfo) -> Path:
    """Run one experiment and return its folder; whatever was computed before is reused.

    Where it is to stop before training, no logger hears of it: there is nothing to follow.
    """
    check_stop(cfg.stop_after, cfg.get("study"))
    parts = build_components(cfg)
    with disk_errors(info.folder):
        info.folder.mkdir(parents=True, exist_ok=True)
        loggers = list(parts.logger.values()) if cfg.stop_after is None else []
        try:
            earlier = earlier_record(info.folder, info.id)
            for logger in loggers:
                logger.start(replace(info, group=earlier["group"]) if earlier else info)
            outcome = _followed(cfg, info, parts, partial(_to_all, loggers))
            with locked(info.folder / "record.json", f"another process writes {info.folder}; waiting for it"):
                if not isinstance(outcome, Outcome):
                    write_prepared(info, outcome, cfg.stop_after)
                    return info.folder
                record = write_run(info, outcome)
        except BaseException:
            for logger in loggers:
                logger.abandon()
            raise
        for logger in loggers:
            logger.finish(record)
    return info.folder


def _followed(cfg: DictConfig, info: RunInfo, parts: Components, on_metrics: OnMetrics) -> Prepared:
    """Run the experiment where everybody can see how far it is."""
    phases = phases_of(parts, cfg.stop_after)
    time_left = TimeLeft(phases, is_told=info.group is None, num_rates=len(parts.protocol.ratios))

    def enter(phase: Phase) -> None:
        note(phase)
        time_left.enter(phase)

    output_dir = Path(cfg.output_dir).expanduser()
    with journal(output_dir, info, phases, time_left.seconds) as note, time_left.shown():
        return experiment(parts, cfg.stop_after, on_metrics, enter, time_left)


def _to_all(loggers: list[RunLogger], row: Mapping[str, float]) -> None:
    for logger in loggers:
        logger.metrics(row)


def experiment(
    parts: Components, stop_after: str | None, on_metrics: OnMetrics, enter: Callable[[Phase], None],
    time_left: TimeLeft,
) -> Prepared:  # fmt: skip
    """Score, select, order, train, evaluate and compare with a baseline; what there is before training where it is to
    stop.

    `enter` is told which of them begins, `time_left` what they are made of.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    enter("read")
    resources, candidates, target = read(parts)
    parts = with_budget(parts, candidates)
    model_notes = check_models(parts, fetch=True)
    rehearse(parts, candidates, resources.run_tokenizer)
    time_left.costs = partial(phase_flops, parts, resources, candidates, target)
    overlap = read_evaluation(parts, resources, candidates, target)

    enter("score")
    table = scores_stage(resources, parts.scorer, candidates, target)
    found = Prepared(
        started=started, seconds=0.0, candidates=candidates, target=target, target_readers=parts.target_readers,
        tokenizer=resources.run_tokenizer, table=table, documents=candidates, kept=None,
        kept_by_scores="scores" in needs_of(parts.selector), order=None, overlap=overlap, model_notes=model_notes,
        stages=parts.store.uses,
    )  # fmt: skip
    if stop_after == "scores":
        return replace(found, seconds=time.monotonic() - clock)

    enter("select")
    training = Training(parts, resources, candidates.candidates(table.goodness), target)
    choice = select(training, candidates)
    documents, kept = choice.selection.documents, choice.selection.rows
    found = replace(found, documents=documents, kept=kept)
    if stop_after == "selection":
        return replace(found, seconds=time.monotonic() - clock)
    rows, validation = held_out(parts, documents, kept)
    sequence = training.sequence(documents, rows)
    found = replace(found, order=np.concatenate([sequence.order, validation]))
    if stop_after == "order":
        return replace(found, seconds=time.monotonic() - clock)

    job = training.job(documents, sequence)
    alignment = _alignment(parts, resources, documents, job.plan)
    enter("train")
    with parts.store.serves(TUNING):
        tuning = tuned(training, job, validation)
    model = training.trained(tuning.job, on_metrics)
    enter("evaluate")
    evaluations = training.evaluated(model)
    averaged = training.evaluated(model.averaged) if model.averaged else {}
    outcome = Outcome(
        **vars(found) | {"seconds": time.monotonic() - clock},
        show_selection=choice.selection.show,
        selecting_flops=choice.flops,
        mixture=sequence.rows(job.plan, training.seen),
        plan=job.plan,
        protocol=tuning.facts,
        model=model,
        evaluations=evaluations,
        references=_references(parts, resources, candidates),
        averaged=averaged,
        alignment=alignment,
    )
    if has_baseline(parts):
        enter("baseline")
    return replace(outcome, compared=compare(training, outcome))


def _references(parts: Components, resources: Resources, candidates: TokenizedCorpus) -> dict[str, dict[str, float]]:
    """Return losses that need no model, for every evaluation on texts."""
    texts = {
        name: text_stage(parts.store, dataset.text(parts.store), resources.run_tokenizer)
        for name, dataset in parts.eval_dataset.items()
        if isinstance(dataset, TextLoss)
    }
    return {name: loss_references(parts.store, candidates.tokens, text.tokens) for name, text in texts.items()}


def _alignment(parts: Components, resources: Resources, documents: TokenizedCorpus, plan: Plan) -> list[dict[str, Any]]:
    """Measure alignment before training: whether it says what training will give is the question."""
    evaluation = evaluation_texts(parts)
    if not parts.alignment or not evaluation:
        return []
    return run_alignment(parts.alignment, documents.corpus, plan.trained_rows, evaluation, resources)
