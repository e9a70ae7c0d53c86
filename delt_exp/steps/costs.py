"""What a run will cost, from sizes alone: for `dry_run=true`, and the GPU-hours of a study."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.pairs import answer_tokens, positions
from delt_exp.corpus.tokens import TokenizedCorpus, Tokens
from delt_exp.model.cost import PhaseCost, Sizes, model_size, total, training_cost
from delt_exp.resources import Resources
from delt_exp.scorer.base import Forecasting, sizes_of
from delt_exp.selector.reading import ReadingSelector, would_keep
from delt_exp.steps.comparing import has_baseline
from delt_exp.steps.components import Components
from delt_exp.steps.journal import Phase
from delt_exp.steps.rehearsal import stand_in_goodness
from delt_exp.trainer.job import Setup


def costs_of(
    parts: Components, resources: Resources, candidates: TokenizedCorpus, target: TokenizedCorpus | None
) -> list[PhaseCost]:
    """Return what scoring, selecting and training cost the first time, the baseline included."""
    return [cost for costs in _by_phase(parts, resources, candidates, target).values() for cost in costs]


def phase_flops(
    parts: Components, resources: Resources, candidates: TokenizedCorpus, target: TokenizedCorpus | None
) -> dict[str, float]:
    """Return the operations of every phase of a run, and of every part of scoring by its own name."""
    costs = _by_phase(parts, resources, candidates, target)
    flops: dict[str, float] = {phase: total(of_phase).flops for phase, of_phase in costs.items() if of_phase}
    return flops | {cost.phase: cost.flops for cost in costs["score"]}


def _by_phase(
    parts: Components, resources: Resources, candidates: TokenizedCorpus, target: TokenizedCorpus | None
) -> dict[Phase, list[PhaseCost]]:
    sizes = sizes_of(candidates.tokens.lengths, target, resources.run_tokenizer)
    seen = candidates.candidates(stand_in_goodness(len(candidates)))
    read = read_per_predicted(parts, candidates.tokens)
    scoring, training = (
        scoring_costs(parts, sizes),
        training_costs(parts, sizes, would_keep(parts.selector, seen), read),
    )
    return {
        "score": scoring,
        "select": selecting_costs(parts, sizes, read, paid=scoring),
        "train": training,
        "baseline": [replace(training[0], phase="baseline")] if has_baseline(parts) else [],  # without its weights
    }


def scoring_costs(parts: Components, sizes: Sizes) -> list[PhaseCost]:
    """Return the cost of every phase of scoring; nothing for a scorer that costs next to nothing."""
    if not isinstance(parts.scorer, Forecasting):
        return []
    return parts.scorer.forecast(sizes, Resources(parts.store, None, parts.trainer, parts.runtime))


def selecting_costs(
    parts: Components, sizes: Sizes, read_per_predicted: float, paid: Sequence[PhaseCost]
) -> list[PhaseCost]:  # fmt: skip
    """Return the cost of every phase of a selection that reads documents, but for what the scorer has `paid`."""
    if not isinstance(parts.selector, ReadingSelector):
        return []
    costs = parts.selector.forecast(sizes, Resources(parts.store, None, parts.trainer, parts.runtime))
    rounds = [
        replace(
            training_costs(parts, sizes, np.arange(count), read_per_predicted)[0], phase=f"training on {count} picks"
        )
        for count in parts.selector.training_sizes()
    ]
    return [cost for cost in costs if cost not in paid] + rounds


def read_per_predicted(parts: Components, tokens: Tokens) -> float:
    """Return how many tokens of the candidates training reads for each that it predicts, which `max_tokens` counts.

    Prompts are only read where completions alone are predicted, and in preferences.
    """
    if parts.model.objective.rows_per_sample == 2:
        rows = np.arange(len(tokens))
        read = positions(tokens, rows, parts.model.context_tokens).sum()
        return float(read / answer_tokens(tokens, rows).sum())
    end = tokens.offsets[-1:]
    predicted = tokens.predicted_before(end, completion_only=parts.training.completion_only)
    return float((end + len(tokens))[0] / (predicted + len(tokens))[0])


def training_costs(
    parts: Components, sizes: Sizes, rows: NDArray[np.intp], read_per_predicted: float = 1.0
) -> list[PhaseCost]:  # fmt: skip
    """Return the cost of training on these candidates, and of its weights."""
    context = parts.model.context_tokens
    size = model_size(parts.model.network.transformers_config(sizes.vocabulary), context)
    batch_tokens = min(parts.model.batch_items, parts.trainer.micro_batch_items) * context
    num_tokens = _tokens_read(parts, sizes, rows, read_per_predicted)
    training = training_cost("training", size, num_tokens, context, batch_tokens)
    if parts.averaging is not None:  # the mean is held beside the weights
        training = replace(training, peak_bytes=training.peak_bytes + size.parameter_bytes)
    setup = Setup(parts.model, parts.training, parts.trainer)
    costs = [training, *parts.weighter.forecast(setup, sizes, size, num_tokens)]
    return [replace(cost, flops=cost.flops * len(parts.protocol.ratios)) for cost in costs]  # each rate pays all


def _tokens_read(parts: Components, sizes: Sizes, rows: NDArray[np.intp], read_per_predicted: float) -> int:
    """Return the tokens that training reads, and a third of those that the reference of preferences reads forward."""
    kept = sizes.lengths_N[rows]
    is_paired, budget = parts.model.objective.rows_per_sample == 2, parts.training.max_tokens
    if budget is None:
        tokens = sizes.lengths_N if parts.candidate_epochs else kept
        read = float(tokens.sum()) * (parts.candidate_epochs or parts.training.epochs or 0) * (1 + is_paired)
    else:
        read = budget * read_per_predicted
    return int(read + (2 / 3 * kept.sum() if is_paired else 0))  # two sides, about as long
