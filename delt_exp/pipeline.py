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
from delt_exp.config.stop import Stop, check_stop
from delt_exp.corpus.stages import text_stage
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.eval_dataset.references import loss_references
from delt_exp.eval_dataset.text_loss import TextLoss
from delt_exp.files import disk_errors, locked
from delt_exp.logger.base import RunLogger
from delt_exp.pretrained.loading import check_models
from delt_exp.progress import once
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
from delt_exp.steps.costs import phase_flops
from delt_exp.steps.journal import Phase, journal
from delt_exp.steps.reading import evaluation_texts, read, read_evaluation
from delt_exp.steps.rehearsal import check_at_hand, rehearse
from delt_exp.steps.selecting import select
from delt_exp.steps.time_left import TimeLeft, phases_of
from delt_exp.steps.training import Training
from delt_exp.steps.tuning import held_out, tuned
from delt_exp.study.data import check_files
from delt_exp.trainer.plan import Plan
from delt_exp.trainer.train import OnMetrics


def run(cfg: DictConfig, info: RunInfo) -> Path:
    """Run one experiment and return its folder; whatever was computed before is reused.

    Where it is to stop before training, no logger hears of it: there is nothing to follow.
    """
    check_stop(cfg.stop_after, cfg.get("study"))
    parts = build_components(cfg)
    with once(set()):  # every phase that looks at the files would say again what is left out of them
        check_files(cfg)
        return _recorded(cfg, info, parts)


def _recorded(cfg: DictConfig, info: RunInfo, parts: Components) -> Path:
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
        experiment = _Experiment(parts, on_metrics, enter, time_left, cfg.stop_after)
        found = experiment.run()
        return experiment.compared(found) if isinstance(found, Outcome) else found


def _to_all(loggers: list[RunLogger], row: Mapping[str, float]) -> None:
    for logger in loggers:
        logger.metrics(row)


class _Experiment:
    """One experiment, a method for each step; each adds to what the one before found.

    enter: is told which phase begins. time_left: is told what the phases are made of.
    """

    def __init__(
        self,
        parts: Components,
        on_metrics: OnMetrics,
        enter: Callable[[Phase], None],
        time_left: TimeLeft,
        stop_after: Stop | None,
    ) -> None:
        self.started, self.clock, self.stop_after = datetime.now(UTC), time.monotonic(), stop_after
        check_at_hand(parts)
        enter("read")
        self.resources, self.candidates, self.target = read(parts)
        self.parts = with_budget(parts, self.candidates)
        self.on_metrics, self.enter = on_metrics, enter
        self.model_notes = check_models(self.parts, fetch=True)
        rehearse(self.parts, self.candidates, self.resources.run_tokenizer, stop_after)
        time_left.costs = partial(phase_flops, self.parts, self.resources, self.candidates, self.target)
        self.overlap = read_evaluation(self.parts, self.resources, self.candidates, self.target)

    def run(self) -> Prepared:
        """Score, select, order and train; what there is before training where it is to stop."""
        found = self.scored()
        for name, step in (("scores", self.selected), ("selection", self.ordered), ("order", self.trained)):
            if name == self.stop_after:
                break
            found = step(found)
        return replace(found, seconds=time.monotonic() - self.clock)

    def scored(self) -> Prepared:
        self.enter("score")
        parts = self.parts
        table = scores_stage(self.resources, parts.scorer, self.candidates, self.target)
        self.training = Training(parts, self.resources, self.candidates.candidates(table.goodness), self.target)
        return Prepared(
            started=self.started, seconds=0.0, candidates=self.candidates, target=self.target,
            target_readers=parts.target_readers, tokenizer=self.resources.run_tokenizer, table=table,
            documents=self.candidates, kept=None, kept_by_scores="scores" in needs_of(parts.selector), order=None,
            overlap=self.overlap, model_notes=self.model_notes, stages=parts.store.uses,
        )  # fmt: skip

    def selected(self, found: Prepared) -> Prepared:
        self.enter("select")
        self.choice = select(self.training, self.candidates)
        selection = self.choice.selection
        return replace(found, documents=selection.documents, kept=selection.rows)

    def ordered(self, found: Prepared) -> Prepared:
        assert found.kept is not None
        rows, self.validation = held_out(self.parts, found.documents, found.kept)
        self.sequence = self.training.sequence(found.documents, rows)
        return replace(found, order=np.concatenate([self.sequence.order, self.validation]))

    def trained(self, found: Prepared) -> Outcome:
        training, job = self.training, self.training.job(found.documents, self.sequence)
        alignment = _alignment(self.parts, self.resources, found.documents, job.plan)
        self.enter("train")
        with self.parts.store.serves(TUNING):
            tuning = tuned(training, job, self.validation)
        model = training.trained(tuning.job, self.on_metrics)
        self.enter("evaluate")
        return Outcome(
            **vars(found),
            evaluations=training.evaluated(model),
            averaged=training.evaluated(model.averaged) if model.averaged else {},
            show_selection=self.choice.selection.show,
            selecting_flops=self.choice.flops,
            mixture=self.sequence.rows(job.plan, training.seen),
            plan=job.plan,
            protocol=tuning.facts,
            model=model,
            references=_references(self.parts, self.resources, self.candidates),
            alignment=alignment,
        )

    def compared(self, outcome: Outcome) -> Outcome:
        if has_baseline(self.parts):
            self.enter("baseline")
        return replace(outcome, compared=compare(self.training, outcome))


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
