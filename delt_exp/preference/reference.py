"""What the network of a training run says of preferences before the first update: the reference of DPO."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from delt_exp.config.identity import identity
from delt_exp.errors import ConfigError
from delt_exp.files import digest
from delt_exp.mapping.pairs import map_pairs
from delt_exp.model.dpo import DPO
from delt_exp.model.lora import LoraNetwork
from delt_exp.model.recipe import Recipe
from delt_exp.preference.judges import ReferenceJudge
from delt_exp.resources import Resources
from delt_exp.trainer.job import TrainJob, Weighter
from delt_exp.trainer.planning import PlanSettings
from delt_exp.weighter.none import NoWeighter


def check_preferences(recipe: Recipe, training: PlanSettings, weighter: Weighter) -> None:
    """Raise ConfigError for settings that an objective on preferences cannot be trained with."""
    if recipe.objective.rows_per_sample == 1:
        return
    if training.layout != "padded":
        raise ConfigError(
            f"training.layout is {training.layout}, but a preference is a pair of sequences with a document each; use "
            "training.layout=padded"
        )
    if not isinstance(weighter, NoWeighter):
        raise ConfigError("preferences are trained with equal weights; use weighter=none")
    if cast(DPO, recipe.objective).reference == "adapters_off" and not isinstance(recipe.network, LoraNetwork):
        raise ConfigError(
            "model.objective.reference=adapters_off needs adapters; use model=lora, or model.objective.reference=start"
        )


def with_reference(job: TrainJob, resources: Resources) -> TrainJob:
    """Return the job with the log probabilities of its documents under the reference; other jobs as they are."""
    if job.recipe.objective.rows_per_sample == 1:
        return job
    # Adapters begin at 0, so both references are one; without them it is cheaper to compute.
    network = job.recipe.network.base if isinstance(job.recipe.network, LoraNetwork) else job.recipe.network
    precision, context = job.trainer.resolved_precision(), job.recipe.context_tokens
    judge = ReferenceJudge(network, job.tokenizer, job.seed, precision, context)
    tokens, rows = job.plan.tokens, job.plan.trained_rows
    inputs: Mapping[str, Any] = {
        "network": identity(network),
        "seed": job.seed,
        "tokens": tokens.digest,
        "documents": digest(np.asarray(tokens.ids[rows])),
        "context_tokens": context,
        "precision": precision,
        "format": 1,
    }

    def build(folder: Path) -> None:
        numbers_R2 = map_pairs(resources, tokens, rows, judge, folder / "shards", "reading the reference")
        np.save(folder / "log_probabilities.npy", numbers_R2)
        shutil.rmtree(folder / "shards")

    use = resources.store.get("reference", inputs, build, resumable=True)
    reference_N2 = np.full((len(tokens), 2), np.nan)  # what is not trained is not asked for
    reference_N2[rows] = np.load(use.path / "log_probabilities.npy")
    return replace(job, reference=reference_N2)
