"""The whole data flow: score, select, order, train, evaluate, report."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from delt_exp.alignment.base import Alignment
from delt_exp.alignment.run import run_alignment
from delt_exp.config.build import build, construct
from delt_exp.config.fields import Seed, check_value
from delt_exp.config.identity import identity
from delt_exp.config.run_name import RunInfo
from delt_exp.config.stop import check_stop
from delt_exp.corpus.corpus import Corpus, CorpusSettings
from delt_exp.corpus.overlap import overlap_sentences
from delt_exp.corpus.stages import corpus_stage, decontaminated_stage, overlap_stage, text_stage, tokenizer_stage
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.dataset.base import Dataset
from delt_exp.errors import DataError
from delt_exp.eval_dataset.base import EvalDataset
from delt_exp.eval_dataset.named import named
from delt_exp.files import disk_errors, locked, read_json, write_json
from delt_exp.logger.base import RunLogger
from delt_exp.logger.journal import Phase, journal
from delt_exp.mixture import Mixture
from delt_exp.mixture.mixed import Mixed, mixed, refuse_preferences
from delt_exp.model.cost import total
from delt_exp.model.recipe import Recipe
from delt_exp.ngrams.deduplicated import deduplicated_stage
from delt_exp.ngrams.minhash import MinHash
from delt_exp.orderer import Orderer
from delt_exp.preference.reference import check_preferences, with_reference
from delt_exp.pretrained.loading import check_models
from delt_exp.progress import say
from delt_exp.proxy.base import ProxyModel
from delt_exp.proxy.trained import looking
from delt_exp.report.outcome import Outcome, Overlap, Prepared
from delt_exp.report.prepared import write_prepared
from delt_exp.report.record import earlier_record
from delt_exp.report.run_folder import write_run
from delt_exp.report.stages import SELECTION
from delt_exp.resources import Resources
from delt_exp.rows.candidates import Candidates
from delt_exp.runtime import Runtime
from delt_exp.scorer.base import Forecasting, Scorer, sizes_of
from delt_exp.scorer.stage import scores_stage
from delt_exp.selector import Selector
from delt_exp.selector.reading import Reading, ReadingSelector, Selection, needs_of, would_keep
from delt_exp.store.store import Store
from delt_exp.tokenizer.base import Tokenizer, TokenizerMaker
from delt_exp.trainer.job import Setup, TrainJob, Weighter, plan_for
from delt_exp.trainer.plan import Plan, PlanSettings
from delt_exp.trainer.settings import TrainerSettings
from delt_exp.trainer.train import OnMetrics, training_stage


@dataclass(frozen=True, eq=False)
class Components:
    """Everything a configuration describes, built and checked before anything is computed."""

    train_dataset: Dataset
    target_dataset: Dataset
    tokenizer: TokenizerMaker
    scorer: Scorer
    selector: Selector | ReadingSelector
    orderer: Orderer
    mixture: Mixture
    model: Recipe
    corpus: CorpusSettings
    decontaminate: bool
    drop_near_duplicates: bool
    minhash: MinHash
    training: PlanSettings
    trainer: TrainerSettings
    weighter: Weighter
    eval_dataset: Mapping[str, EvalDataset]
    alignment: Mapping[str, Alignment]
    logger: Mapping[str, RunLogger]
    runtime: Runtime
    store: Store


def build_components(cfg: DictConfig) -> Components:
    """Build every component of a configuration; raises ConfigError for a value that is not allowed."""
    check_value("seed", cfg.seed, Seed)
    for name in ("decontaminate", "drop_near_duplicates"):
        check_value(name, cfg[name], bool)
    groups = (
        "train_dataset", "target_dataset", "tokenizer", "scorer", "selector", "orderer", "mixture", "model", "weighter",
        "trainer",
    )  # fmt: skip
    built = {group: build(cfg[group], group) for group in groups}
    suite = {name: build(node, f"eval_dataset.{name}") for name, node in (cfg.eval_dataset or {}).items()}
    metrics = {name: build(node, f"alignment.{name}") for name, node in cfg.alignment.items()}
    loggers = {name: build(node, f"logger.{name}") for name, node in cfg.logger.items()}
    return Components(
        **built,
        eval_dataset=named(suite),
        alignment=metrics,
        logger=loggers,
        training=construct(PlanSettings, cfg.training, "training"),
        runtime=construct(Runtime, cfg.runtime, "runtime"),
        store=construct(Store, cfg.store, "store"),
        corpus=construct(CorpusSettings, cfg.corpus, "corpus"),
        decontaminate=cfg.decontaminate,
        drop_near_duplicates=cfg.drop_near_duplicates,
        minhash=build(cfg.minhash, "minhash"),
    )


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
            with journal(Path(cfg.output_dir).expanduser(), info) as enter:
                outcome = experiment(cfg, parts, partial(_to_all, loggers), enter)
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


def _to_all(loggers: list[RunLogger], row: Mapping[str, float]) -> None:
    for logger in loggers:
        logger.metrics(row)


def experiment(cfg: DictConfig, parts: Components, on_metrics: OnMetrics, enter: Callable[[Phase], None]) -> Prepared:
    """Score, select, order, train and evaluate, stage by stage; what there is before training where it is to stop.

    `enter` is told which of them begins.
    """
    started, clock, store = datetime.now(UTC), time.monotonic(), parts.store
    enter("read")
    resources, candidates, target = read(parts)
    tokenizer = resources.run_tokenizer
    model_notes = check_models(parts, fetch=True)
    rehearse(parts, candidates, tokenizer, cfg.seed)
    overlap = _overlap(parts, resources, candidates, target)

    enter("score")
    table = scores_stage(resources, parts.scorer, candidates, target)
    seen = candidates.corpus.candidates(table.goodness)

    def facts() -> dict[str, Any]:
        return {
            "started": started,
            "seconds": time.monotonic() - clock,
            "candidates": candidates,
            "target": target,
            "target_readers": _target_readers(parts),
            "tokenizer": tokenizer,
            "table": table,
            "kept_by_scores": "scores" in needs_of(parts.selector),
            "overlap": overlap,
            "model_notes": model_notes,
            "stages": store.uses,
        }

    if cfg.stop_after == "scores":
        return Prepared(documents=candidates, kept=None, order=None, **facts())

    def ordered(kept: NDArray[np.intp]) -> NDArray[np.intp]:
        return kept[parts.orderer(seen.take(kept))]

    def mixed_on(documents: TokenizedCorpus, order: NDArray[np.intp]) -> Mixed:
        return mixed(parts.mixture, seen, documents.tokens, order, parts.training)

    def job_on(documents: TokenizedCorpus, sequence: Mixed) -> TrainJob:
        return _job(parts, resources, documents, target, seen, cfg.seed, sequence)

    trained_flops: list[float] = []

    def trained_on(documents: TokenizedCorpus, kept: NDArray[np.intp]) -> ProxyModel:
        sequence = mixed_on(documents, ordered(np.sort(kept)))
        job = with_reference(job_on(documents, sequence), resources)
        model = training_stage(store, job)
        trained_flops.append(model.result["flops"])
        return looking(job, model)

    enter("select")
    with store.serves(SELECTION):
        selection = _selected(parts, Reading(candidates, target, resources, seen, trained_on))
        selecting_flops = _selecting_flops(parts, candidates, target, resources) + sum(trained_flops)
    kept = selection.rows
    if cfg.stop_after == "selection":
        return Prepared(documents=selection.documents, kept=kept, order=None, **facts())
    sequence = mixed_on(selection.documents, ordered(kept))
    if cfg.stop_after == "order":
        return Prepared(documents=selection.documents, kept=kept, order=sequence.order, **facts())
    job = job_on(selection.documents, sequence)
    alignment = _alignment(parts, resources, selection.documents, job.plan)
    enter("train")
    model = training_stage(store, with_reference(job, resources), on_metrics)
    enter("evaluate")
    evaluations = {name: dataset.evaluate(name, model, resources) for name, dataset in parts.eval_dataset.items()}
    return Outcome(
        documents=selection.documents,
        kept=kept,
        order=sequence.order,
        show_selection=selection.show,
        selecting_flops=selecting_flops,
        mixture=sequence.rows(job.plan, seen),
        plan=job.plan,
        model=model,
        evaluations=evaluations,
        alignment=alignment,
        **facts(),
    )


def _target_readers(parts: Components) -> list[str]:
    return [
        *(["scorer"] if "target" in parts.scorer.needs else []),
        *(["selector"] if "target" in needs_of(parts.selector) else []),
        *(["weighter"] if parts.weighter.reads_target else []),
    ]


def _selected(parts: Components, reading: Reading) -> Selection:
    if isinstance(parts.selector, ReadingSelector):
        return parts.selector.select(reading)
    return Selection(parts.selector(reading.seen), reading.candidates)


def _selecting_flops(
    parts: Components, candidates: TokenizedCorpus, target: TokenizedCorpus | None, resources: Resources
) -> float:  # fmt: skip
    """Return the estimated operations of a selector that reads documents, without those that the scorer has paid for.

    A stage, small as it is: sizes of networks need torch, which a run that reuses everything does not import.
    """
    selector, scorer = parts.selector, parts.scorer
    if not isinstance(selector, ReadingSelector):
        return 0.0

    def build(folder: Path) -> None:
        sizes = sizes_of(candidates.tokens.lengths, target, resources.run_tokenizer)
        paid = scorer.forecast(sizes, resources) if isinstance(scorer, Forecasting) else []
        costs = [cost for cost in selector.forecast(sizes, resources) if cost not in paid]
        write_json(folder / "flops.json", total(costs).flops)

    inputs = {
        "selector": identity(selector),
        "scorer": identity(scorer),
        "tokens": candidates.tokens.digest,
        "target": target.tokens.digest if target is not None else None,
    }
    return float(read_json(resources.store.get("forecast", inputs, build).path / "flops.json"))


def _job(
    parts: Components, resources: Resources, documents: TokenizedCorpus, target: TokenizedCorpus | None,
    seen: Candidates, seed: int, sequence: Mixed,
) -> TrainJob:  # fmt: skip
    """Return the training run on rows in this sequence; a reference is still to be computed."""
    plan = plan_for(parts.model, documents.tokens, sequence.rows_P, sequence.training)
    goodness = seen.goodness if parts.weighter.reads_scores else None
    validation = target.tokens if target is not None and parts.weighter.reads_target else None
    return TrainJob(
        parts.model, plan, resources.run_tokenizer, parts.trainer, seed,
        weighter=parts.weighter, goodness=goodness, target=validation,
    )  # fmt: skip


def read(parts: Components) -> tuple[Resources, TokenizedCorpus, TokenizedCorpus | None]:
    """Return resources with the tokenizer, candidates and, for a scorer or weighter that reads it, the target set."""
    candidates, target = read_corpora(parts)
    tokenizer = tokenizer_stage(parts.store, parts.tokenizer, candidates)
    encoded = partial(text_stage, parts.store, tokenizer=tokenizer)
    resources = Resources(parts.store, tokenizer, parts.trainer, parts.runtime)
    return resources, encoded(candidates), None if target is None else encoded(target)


def read_corpora(parts: Components) -> tuple[Corpus, Corpus | None]:
    """Return the documents of candidates and target; decontaminated and without near-duplicates where asked for."""
    store = parts.store
    candidates = corpus_stage(store, parts.train_dataset, parts.corpus)
    target = None
    if "target" in parts.scorer.needs | needs_of(parts.selector) or parts.weighter.reads_target:
        target = corpus_stage(store, parts.target_dataset, replace(parts.corpus, drop_duplicates=False))
    if parts.decontaminate:
        others = list(evaluation_texts(parts).values())
        if target is not None:
            target = decontaminated_stage(store, target, others)
            others.append(target)
        candidates = decontaminated_stage(store, candidates, others)
    if parts.drop_near_duplicates:
        candidates = deduplicated_stage(Resources(store, None, parts.trainer, parts.runtime), candidates, parts.minhash)
    return candidates, target


def evaluation_texts(parts: Components) -> dict[str, Corpus]:
    """Return the evaluation datasets whose text is at hand."""
    texts = {name: dataset.text(parts.store) for name, dataset in parts.eval_dataset.items()}
    return {name: text for name, text in texts.items() if text is not None}


def rehearse(parts: Components, candidates: TokenizedCorpus, tokenizer: Tokenizer, seed: int) -> None:
    """Select, order and plan by stand-in scores, so that a bad setting is refused before anything is scored."""
    parts.trainer.check_available()
    parts.runtime.check_available()
    seen = candidates.corpus.candidates(stand_in_goodness(len(candidates)))
    if isinstance(parts.selector, ReadingSelector):
        parts.selector.check(candidates)
    kept = would_keep(parts.selector, seen)
    order = kept[parts.orderer(seen.take(kept))]
    if mixed(parts.mixture, seen, candidates.tokens, order, parts.training).shares_G is not None:
        refuse_preferences(parts.model)
    parts.model.check(tokenizer)
    check_preferences(parts.model, parts.training, parts.weighter)
    if parts.training.isolates_documents:
        from delt_exp.model.isolation import check_isolation

        check_isolation(parts.model.network.make(tokenizer, seed))
    everything = plan_for(parts.model, candidates.tokens, np.arange(len(seen)), parts.training)
    parts.model.schedule.check(everything.num_steps)
    setup = Setup(parts.model, parts.training, parts.trainer)
    parts.weighter.check(setup, candidates.tokens, everything.num_steps)


def stand_in_goodness(num_documents: int) -> NDArray[np.float32]:
    """Return goodness that is all different, one as large as a number can be: no sound selection keeps nothing."""
    goodness = np.arange(num_documents, dtype=np.float32)
    goodness[-1] = np.finfo(np.float32).max
    return goodness


def _alignment(
    parts: Components, resources: Resources, candidates: TokenizedCorpus, plan: Plan
) -> list[dict[str, Any]]:
    """Measure alignment before training: whether it says what training will give is the question."""
    evaluation = evaluation_texts(parts)
    if not parts.alignment or not evaluation:
        return []
    return run_alignment(parts.alignment, candidates.corpus, plan.trained_rows, evaluation, resources)


def _overlap(
    parts: Components, resources: Resources, candidates: TokenizedCorpus, target: TokenizedCorpus | None
) -> Overlap:
    """Read every evaluation dataset before training, count what is not disjoint, and say so."""
    for dataset in parts.eval_dataset.values():
        dataset.prepare(resources)
    texts = evaluation_texts(parts)
    sets = list(texts.values()) if target is None else [*texts.values(), target.corpus]
    in_train = _counted(parts.store, candidates.corpus, sets, "train")
    in_target = _counted(parts.store, target.corpus, list(texts.values()), "target") if target is not None else []
    evaluation = dict(zip(texts, in_train, strict=False))
    for name, row in zip(texts, in_target, strict=False):
        evaluation[name] |= row
    overlap = Overlap(in_train[-1] if target is not None else None, evaluation)
    if parts.weighter.reads_target:
        refuse_shared(overlap)
    for sentence in overlap_sentences(overlap.target, overlap.evaluation):
        say(f"warning: {sentence}")
    return overlap


def refuse_shared(overlap: Overlap) -> None:
    """Raise DataError where weights would be learnt on documents that are trained on or measured with."""
    shared = {"the candidates": (overlap.target or {}).get("in_train", 0)}
    shared |= {name: counts.get("in_target", 0) for name, counts in overlap.evaluation.items()}
    wrong = ", ".join(f"{count:,} with {name}" for name, count in shared.items() if count)
    if wrong:
        raise DataError(
            f"the weighter learns on the target set as its validation documents, and that shares documents: {wrong}; "
            "use decontaminate=true, or another target_dataset"
        )


def _counted(store: Store, corpus: Corpus, sets: list[Corpus], place: str) -> list[dict[str, int]]:
    rows = overlap_stage(store, corpus, sets) if sets else []
    return [{"documents": row["documents"], f"in_{place}": row["exact"], f"near_{place}": row["near"]} for row in rows]
