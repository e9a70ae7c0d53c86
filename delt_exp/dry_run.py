"""What `dry_run=true` shows: what was read, one document as the model sees it, what is in the store, cost and time."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from delt_exp.config.stop import Stop
from delt_exp.corpus.stages import text_stage
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.eval_dataset.base import CostsMore
from delt_exp.model.cost import PhaseCost, forward_cost, model_size, total, training_cost
from delt_exp.pretrained.loading import check_models
from delt_exp.resources import Resources
from delt_exp.scorer.stage import scores_stage
from delt_exp.selector.reading import ReadingSelector
from delt_exp.steps.components import Components, build_components, with_budget
from delt_exp.steps.costs import costs_of
from delt_exp.steps.reading import evaluation_texts, prepare_evaluation, read
from delt_exp.steps.rehearsal import check_at_hand, rehearse
from delt_exp.steps.training import Training
from delt_exp.steps.tuning import held_out, tuned
from delt_exp.store.store import StageUse, Store, stage_key
from delt_exp.study.data import check_files

MOST_TIMED_PARAMETERS = 100_000_000  # a step of a larger network takes too long, and too much memory, to be timed here
STAGES = ("scores", "training", "evaluation")


@dataclass(frozen=True)
class ReadSet:
    """A set of documents that was read. counts: what became of those of its files, by reason."""

    name: str
    documents: int
    tokens: int
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Preview:
    """What a run would do. sample: the first candidate with its special tokens; cached: stages that are in the store.

    flops_per_second: of a training step of the run's network on its device, None where none was timed.
    """

    sets: list[ReadSet]
    sample: str
    costs: list[PhaseCost]
    cached: list[str]
    flops_per_second: float | None

    @property
    def seconds(self) -> float | None:
        """Estimated seconds of all phases with an empty cache; None where no step was timed."""
        return total(self.costs).flops / self.flops_per_second if self.flops_per_second else None


def preview(cfg: DictConfig) -> Preview:
    """Read and tokenise the sets of a run, rehearse it, and return what it would do.

    Raises DataError with all files that are missing.
    """
    check_files(cfg)
    parts = build_components(cfg)
    check_at_hand(parts)
    resources, candidates, target = read(parts)
    parts = with_budget(parts, candidates)
    check_models(parts, fetch=False)
    rehearse(parts, candidates, resources.run_tokenizer, cfg.stop_after)
    prepare_evaluation(parts, resources)
    tokenizer = resources.run_tokenizer
    evaluated = {n: text_stage(parts.store, text, tokenizer) for n, text in evaluation_texts(parts).items()}
    sets = {"candidates": candidates, **({"target": target} if target is not None else {})}
    sets |= {f"evaluation: {name}": text for name, text in evaluated.items()}
    costs = [*costs_of(parts, resources, candidates, target), *_evaluating(parts, resources, list(evaluated.values()))]
    cached = _cached(parts, resources, candidates, target, cfg.stop_after)
    return Preview(
        [_set(name, one) for name, one in sets.items()], _sample(candidates, resources), costs, cached,
        _flops_per_second(parts, resources),
    )  # fmt: skip


def _set(name: str, found: TokenizedCorpus) -> ReadSet:
    return ReadSet(name, len(found), int(found.tokens.lengths.sum()), found.corpus.meta["counts"])


def _sample(candidates: TokenizedCorpus, resources: Resources) -> str:
    tokens, tokenizer = candidates.tokens, resources.run_tokenizer
    ids = tokens.document(0, 0, int(tokens.lengths[0]))
    return tokenizer.decode([tokenizer.begin_id, *(int(one) for one in ids), tokenizer.eos_id])


def _evaluating(parts: Components, resources: Resources, texts: list[TokenizedCorpus]) -> list[PhaseCost]:
    size = model_size(parts.model.network.transformers_config(resources.run_tokenizer), parts.model.context_tokens)
    num_tokens = sum(int(text.tokens.lengths.sum()) for text in texts)
    reading = forward_cost("evaluation", size, sum(map(len, texts)), num_tokens, parts.runtime.tokens_per_pass())
    costly = [dataset for dataset in parts.eval_dataset.values() if isinstance(dataset, CostsMore)]
    return [reading, *(cost for dataset in costly for cost in dataset.forecast(size, resources))]


class NotCachedError(Exception):
    """A stage would have to be computed."""


class Peeking(Store):
    """A store in which nothing is computed."""

    def get(
        self, stage: str, inputs: Mapping[str, Any], build: Callable[[Path], None], *, resumable: bool = False
    ) -> StageUse:
        """Return the stage for `inputs`; raises NotCachedError where it is missing, and leaves no trace of it."""
        if not (self.root / stage / stage_key(stage, inputs)).exists():
            raise NotCachedError(stage)
        return super().get(stage, inputs, build, resumable=resumable)

    def _build(self, stage: str, *_: Any) -> None:
        raise NotCachedError(stage)  # the stage is damaged


def _cached(
    parts: Components,
    resources: Resources,
    candidates: TokenizedCorpus,
    target: TokenizedCorpus | None,
    stop_after: Stop | None,
) -> list[str]:
    """Return the first of STAGES that are in the store; what follows one that is missing cannot be known."""
    store = Peeking(parts.store.root, parts.store.verify)
    parts, resources = replace(parts, store=store), replace(resources, store=store)
    found: list[str] = []
    try:
        table = scores_stage(resources, parts.scorer, candidates, target)
        found.append(STAGES[0])
        if isinstance(parts.selector, ReadingSelector) or stop_after is not None:
            return found
        seen = candidates.candidates(table.goodness)
        training = Training(parts, resources, seen, target)
        rows, validation = held_out(parts, candidates, parts.selector(seen))
        job = training.job(candidates, training.sequence(candidates, rows))
        model = training.trained(tuned(training, job, validation).job)
        found.append(STAGES[1])
        training.evaluated(model)
        found.append(STAGES[2])
    except NotCachedError:
        pass
    return found


def _flops_per_second(parts: Components, resources: Resources) -> float | None:
    """Return how fast a training step is here, by the fastest of three."""
    import torch

    tokenizer, context = resources.run_tokenizer, parts.model.context_tokens
    size = model_size(parts.model.network.transformers_config(tokenizer), context)
    if size.parameters > MOST_TIMED_PARAMETERS:
        return None
    items = min(parts.model.batch_items, parts.trainer.micro_batch_items)
    device = "cuda" if parts.trainer.accelerator != "cpu" and torch.cuda.is_available() else "cpu"
    network = parts.model.network.make(tokenizer, parts.seed).to(device)
    ids = torch.zeros((items, context), dtype=torch.long, device=device)

    def step() -> None:
        network(input_ids=ids, labels=ids).loss.backward()
        if device == "cuda":
            torch.cuda.synchronize()

    seconds = min(_seconds(step) for _ in range(3))
    return training_cost("timed", size, items * context, context, items * context).flops / seconds


def _seconds(step: Callable[[], None]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started
