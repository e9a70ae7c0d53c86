"""An oracle trained here, on held-out preferences: the reward that DPO learns."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, Seed, settings
from delt_exp.config.keys import moved, naming
from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.stages import corpus_stage, decontaminated_stage, text_stage
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.corpus.writing import WHOLE_DISTINCT
from delt_exp.dataset.base import Dataset
from delt_exp.errors import ConfigError
from delt_exp.model.cost import PhaseCost, Sizes, model_size, training_cost
from delt_exp.model.objective import Objective
from delt_exp.model.recipe import Recipe
from delt_exp.preference.judges import PreferenceJudge, ReferenceJudge
from delt_exp.preference.log_ratios import PRECISION, log_ratios
from delt_exp.preference.reference import with_reference
from delt_exp.resources import Resources
from delt_exp.rows.draws import seed_for, shuffled_rows
from delt_exp.trainer.job import TrainedModel, TrainJob, plan_for
from delt_exp.trainer.planning import PlanSettings
from delt_exp.trainer.stage import training_stage

KEYS = moved(Recipe, "model", "oracle.recipe") | {
    "model.objective": "oracle.objective",
    "training.max_tokens": "oracle.train_tokens",
}


@settings
class TrainedReward:
    """The reward of an answer is log p - log p of the start, under `recipe` trained on the preferences of `dataset`.

    objective: in place of that of `recipe`; one that learns from preferences, such as DPO. train_tokens: predicted
    ones. Preferences that are, or nearly are, among those it is asked about are left out: an oracle that had seen their
    labels would be none.
    """

    VERSION: ClassVar[int] = 1
    dataset: Dataset
    recipe: Recipe
    objective: Objective
    train_tokens: Count
    seed: Seed

    def __post_init__(self) -> None:
        if self.objective.rows_per_sample != 2:
            raise ConfigError("oracle.objective learns no preferences, and so no reward; use dpo")

    def rewards(
        self, resources: Resources, apart_from: Corpus, documents: TokenizedCorpus, rows: NDArray[np.intp],
        folder: Path,
    ) -> NDArray[np.float64]:  # fmt: skip
        """Return [N, 2] in nats; raises DataError where no preference is left to learn from."""
        model = self._trained(resources, apart_from)
        start = ReferenceJudge(model.network, model.tokenizer, model.seed, PRECISION, self.recipe.context_tokens)
        judge = PreferenceJudge(str(model.pretrained), start)
        return log_ratios(resources, documents.tokens, rows, judge, folder)

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of training the oracle."""
        recipe, context = self.recipe, self.recipe.context_tokens
        size = model_size(recipe.network.transformers_config(sizes.vocabulary), context)
        held = min(recipe.batch_items, resources.trainer.micro_batch_items) * context
        return [training_cost("oracle", size, self.train_tokens, context, held)]

    def _trained(self, resources: Resources, apart_from: Corpus) -> TrainedModel:
        store, tokenizer = resources.store, resources.run_tokenizer
        corpus = decontaminated_stage(store, corpus_stage(store, self.dataset, WHOLE_DISTINCT), [apart_from])
        tokens = text_stage(store, corpus, tokenizer).tokens
        order = shuffled_rows(tokens.ids, self.seed, "preferences of the oracle")
        until = PlanSettings("padded", epochs=None, max_tokens=self.train_tokens, completion_only=True)
        seed = seed_for(self.seed, "training of the oracle")
        recipe = replace(self.recipe, objective=self.objective)
        with naming(KEYS):
            plan = plan_for(recipe, tokens, order, until)
            job = TrainJob(recipe, plan, tokenizer, resources.trainer, seed)
            return training_stage(store, with_reference(job, resources))
