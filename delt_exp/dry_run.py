"""What a run will cost, from sizes alone: `dry_run=true`, and the GPU-hours of a study."""

from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.model.cost import PhaseCost, model_size, training_cost
from delt_exp.pipeline import Components, build_components, read, rehearse, stand_in
from delt_exp.pretrained.loading import check_models
from delt_exp.resources import Resources
from delt_exp.scorer.base import Forecasting, Pool
from delt_exp.store.evidence import Evidence
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.trainer.job import Setup


def forecast(cfg: DictConfig) -> list[PhaseCost]:
    """Return what scoring and training cost the first time; reads and tokenises the corpora, computes nothing else."""
    parts = build_components(cfg)
    resources, candidates, target = read(parts)
    tokenizer = resources.run_tokenizer
    check_models(parts, fetch=False)
    rehearse(parts, candidates, tokenizer, cfg.seed)
    return [*scoring_costs(parts, candidates, target, tokenizer), *training_costs(parts, candidates, tokenizer)]


def scoring_costs(
    parts: Components, candidates: TokenizedCorpus, target: TokenizedCorpus | None, tokenizer: Tokenizer
) -> list[PhaseCost]:
    """Return the cost of every phase of scoring; nothing for a scorer that costs next to nothing."""
    if not isinstance(parts.scorer, Forecasting):
        return []
    nowhere = Path()
    resources = Resources(parts.store, tokenizer, parts.trainer, parts.runtime)
    return parts.scorer.forecast(Pool(candidates, target, resources, nowhere, Evidence(nowhere)))


def training_costs(parts: Components, candidates: TokenizedCorpus, tokenizer: Tokenizer) -> list[PhaseCost]:
    """Return the cost of training and of its weights; what the selector keeps is counted with stand-in scores."""
    context = parts.model.context_tokens
    size = model_size(parts.model.network.transformers_config(tokenizer), context)
    batch_tokens = min(parts.model.batch_items, parts.trainer.micro_batch_items) * context
    num_tokens = parts.training.max_tokens or int(_kept_tokens(parts, candidates) * (parts.training.epochs or 0))
    setup = Setup(parts.model, parts.training, parts.trainer, candidates.tokens)
    training = training_cost("training", size, num_tokens, context, batch_tokens)
    return [training, *parts.weighter.forecast(setup, size, num_tokens)]


def _kept_tokens(parts: Components, candidates: TokenizedCorpus) -> int:
    kept = parts.selector(stand_in(candidates))
    return int(np.asarray(candidates.tokens.lengths)[kept].sum())
