"""Reads what a run is made of, candidates, target and evaluation sets, and counts what they share."""

from dataclasses import replace
from functools import partial

from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.overlap import overlap_sentences
from delt_exp.corpus.stages import corpus_stage, decontaminated_stage, overlap_stage, text_stage, tokenizer_stage
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.errors import DataError
from delt_exp.eval_dataset.base import NeedsRoom
from delt_exp.ngrams.deduplicated import deduplicated_stage
from delt_exp.progress import say
from delt_exp.report.outcome import Overlap
from delt_exp.report.stages import SELECTION
from delt_exp.resources import Resources
from delt_exp.steps.components import Components
from delt_exp.store.store import Store


def read(parts: Components) -> tuple[Resources, TokenizedCorpus, TokenizedCorpus | None]:
    """Return resources with the tokenizer, candidates and, where something reads it, the target set."""
    candidates, target = read_corpora(parts)
    tokenizer = tokenizer_stage(parts.store, parts.tokenizer, candidates)
    encoded = partial(text_stage, parts.store, tokenizer=tokenizer)
    resources = Resources(parts.store, tokenizer, parts.trainer, parts.runtime)
    return resources, encoded(candidates), None if target is None else encoded(target)


def read_corpora(parts: Components) -> tuple[Corpus, Corpus | None]:
    """Return the documents of candidates and target; decontaminated and without near-duplicates where asked for.

    Decontaminated candidates are the same whether or not the target is read for more, so that arms of a study differ by
    their scores alone.
    """
    store, target = parts.store, None
    candidates = corpus_stage(store, parts.train_dataset, parts.corpus)
    if parts.target_readers or parts.decontaminate:
        target = corpus_stage(store, parts.target_dataset, replace(parts.corpus, drop_duplicates=False))
    if parts.decontaminate and target is not None:
        others = list(evaluation_texts(parts).values())
        target = decontaminated_stage(store, target, others)
        candidates = decontaminated_stage(store, candidates, [*others, target])
    if parts.drop_near_duplicates:
        resources = Resources(store, None, parts.trainer, parts.runtime)
        with store.serves(SELECTION):
            candidates = deduplicated_stage(resources, candidates, parts.minhash)
    return candidates, target if parts.target_readers else None


def prepare_evaluation(parts: Components, resources: Resources) -> None:
    """Read the evaluation sets; raises DataError or ConfigError for one that the model cannot be measured with."""
    for name, dataset in parts.eval_dataset.items():
        dataset.prepare(resources)
        if isinstance(dataset, NeedsRoom):
            dataset.check_model(name, parts.model, resources)


def evaluation_texts(parts: Components) -> dict[str, Corpus]:
    """Return the evaluation datasets whose text is at hand."""
    texts = {name: dataset.text(parts.store) for name, dataset in parts.eval_dataset.items()}
    return {name: text for name, text in texts.items() if text is not None}


def read_evaluation(
    parts: Components, resources: Resources, candidates: TokenizedCorpus, target: TokenizedCorpus | None
) -> Overlap:
    """Read every evaluation dataset before training, count what is not disjoint, and say so.

    Raises DataError where weights would be learnt on what is trained on or measured with.
    """
    prepare_evaluation(parts, resources)
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
