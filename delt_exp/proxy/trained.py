"""A proxy trained here: on the target set, on a random part of the candidates, or on a dataset of its own."""

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, NonNegativeInt, Seed, Several, settings
from delt_exp.config.keys import moved, naming
from delt_exp.corpus.stages import corpus_stage, tokenizer_stage, tokens_stage
from delt_exp.corpus.tokens import TokenizedCorpus, Tokens
from delt_exp.corpus.writing import WHOLE_DISTINCT
from delt_exp.dataset.base import Dataset
from delt_exp.errors import ConfigError
from delt_exp.model.cost import ModelSize, PhaseCost, Sizes, model_size, training_cost
from delt_exp.model.recipe import Network, Recipe
from delt_exp.proxy.base import ProxyModel
from delt_exp.resources import Resources
from delt_exp.rows.draws import fold_of, seed_for, shuffled_rows
from delt_exp.tokenizer.base import Tokenizer, TokenizerMaker
from delt_exp.trainer.job import TrainedModel, TrainJob, plan_for
from delt_exp.trainer.planning import PlanSettings
from delt_exp.trainer.stage import training_stage


@settings
class TrainedProxy:
    """Trains `recipe` from its start on shuffled documents until `train_tokens` tokens were predicted.

    train_on: `target` (its loss then says how much a document resembles the target set) or `sample` (random candidates;
    its loss says how hard a document is for a model of this corpus). Repeats the documents when they are too few.
    """

    VERSION: ClassVar[int] = 2
    recipe: Recipe
    train_on: Literal["target", "sample"]
    train_tokens: Count
    seed: Seed

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"target"} if self.train_on == "target" else ())

    def inputs(self, resources: Resources) -> dict[str, Any]:
        return {"proxy_precision": resources.trainer.resolved_precision()}

    def prepare(
        self, resources: Resources, candidates: TokenizedCorpus | None = None, target: TokenizedCorpus | None = None
    ) -> ProxyModel:
        text = target if self.train_on == "target" else candidates
        if text is None:
            cure = {"target": "choose target_dataset=...", "sample": "a probe has a dataset of its own: probe=trained"}
            raise ConfigError(f"proxy.train_on is {self.train_on}, but there is no such text; {cure[self.train_on]}")
        return self.trained(resources, text, np.arange(len(text)))

    def trained(self, resources: Resources, text: TokenizedCorpus, rows: NDArray[np.intp]) -> ProxyModel:
        """Return the model, trained on some documents of `text` alone."""
        rows = rows[shuffled_rows(text.corpus.ids[rows], self.seed, "documents of the proxy")]
        seed = seed_for(self.seed, "training of the proxy")
        return _trained(self, "proxy", text.tokens, rows, resources.run_tokenizer, seed, resources)

    @property
    def network(self) -> Network:
        return self.recipe.network

    def size(self, sizes: Sizes, resources: Resources, sample_tokens: int) -> ModelSize:
        """Return the size of the network with the vocabulary of the run's tokenizer."""
        return model_size(self.recipe.network.transformers_config(sizes.vocabulary), sample_tokens)

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of the training run."""
        size = self.size(sizes, resources, self.recipe.context_tokens)
        return [_training_cost(self.recipe, self.train_tokens, size, resources)]


@settings
class FoldedProxy:
    """`base`, trained on the candidates outside one of `folds` folds, so that it has read none of that `fold`."""

    VERSION: ClassVar[int] = 1
    base: TrainedProxy
    folds: Several
    fold: NonNegativeInt

    @property
    def needs(self) -> frozenset[str]:
        return self.base.needs

    def inputs(self, resources: Resources) -> dict[str, Any]:
        return self.base.inputs(resources)

    def prepare(
        self, resources: Resources, candidates: TokenizedCorpus | None = None, target: TokenizedCorpus | None = None
    ) -> ProxyModel:
        assert candidates is not None
        fold_N = fold_of(candidates.corpus.ids, self.folds, self.base.seed)
        return self.base.trained(resources, candidates, np.flatnonzero(fold_N != self.fold))

    @property
    def network(self) -> Network:
        return self.base.network

    def size(self, sizes: Sizes, resources: Resources, sample_tokens: int) -> ModelSize:
        return self.base.size(sizes, resources, sample_tokens)

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        return self.base.forecast(sizes, resources)


@settings
class DatasetProxy:
    """Trains `recipe` on the shuffled documents of `dataset` until `train_tokens` tokens were predicted.

    It does not depend on the texts that it will compare, so that one model serves every comparison. tokenizer: trained
    on the same dataset, unless it needs no training.
    """

    VERSION: ClassVar[int] = 2
    needs: ClassVar[frozenset[str]] = frozenset()
    dataset: Dataset
    tokenizer: TokenizerMaker
    recipe: Recipe
    train_tokens: Count
    seed: Seed

    def inputs(self, resources: Resources) -> dict[str, Any]:
        return {"probe_precision": resources.trainer.resolved_precision()}

    def prepare(
        self, resources: Resources, candidates: TokenizedCorpus | None = None, target: TokenizedCorpus | None = None
    ) -> ProxyModel:
        corpus = corpus_stage(resources.store, self.dataset, WHOLE_DISTINCT)
        tokenizer = tokenizer_stage(resources.store, self.tokenizer, corpus)
        tokens = tokens_stage(resources.store, corpus, tokenizer).tokens
        rows = shuffled_rows(corpus.ids, self.seed, "documents of the probe")
        seed = seed_for(self.seed, "training of the probe")
        return _trained(self, "probe", tokens, rows, tokenizer, seed, resources)

    def size(self, sizes: Sizes, resources: Resources, sample_tokens: int) -> ModelSize:
        """Return the size of the network with the vocabulary of its own tokenizer, which is made for it."""
        corpus = corpus_stage(resources.store, self.dataset, WHOLE_DISTINCT)
        tokenizer = tokenizer_stage(resources.store, self.tokenizer, corpus)
        return model_size(self.recipe.network.transformers_config(tokenizer), sample_tokens)

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of the training run."""
        size = self.size(sizes, resources, self.recipe.context_tokens)
        return [_training_cost(self.recipe, self.train_tokens, size, resources)]


def _trained(
    proxy: TrainedProxy | DatasetProxy, place: str, tokens: Tokens, rows: NDArray[np.intp], tokenizer: Tokenizer,
    seed: int, resources: Resources,
) -> ProxyModel:  # fmt: skip
    """Return the model of a proxy, trained on the documents `rows`; place: where it is configured."""
    until = PlanSettings(layout="packed", epochs=None, max_tokens=proxy.train_tokens, completion_only=False)
    keys = moved(Recipe, "model", f"{place}.recipe") | {"training.max_tokens": f"{place}.train_tokens"}
    with naming(keys):
        plan = plan_for(proxy.recipe, tokens, rows, until)
        return trained_model(TrainJob(proxy.recipe, plan, tokenizer, resources.trainer, seed), resources)


def trained_model(job: TrainJob, resources: Resources) -> ProxyModel:
    """Return what a training run leaves, as a model that looks at documents; trained once, as a stage."""
    return looking(job, training_stage(resources.store, job))


def looking(job: TrainJob, model: TrainedModel) -> ProxyModel:
    """Return what `job` left as a model that looks at documents."""
    limit = job.recipe.network.position_limit(job.tokenizer)
    return ProxyModel(str(model.pretrained), None, job.tokenizer, job.recipe.context_tokens, limit)


def _training_cost(recipe: Recipe, train_tokens: int, size: ModelSize, resources: Resources) -> PhaseCost:
    context = recipe.context_tokens
    held = min(recipe.batch_items, resources.trainer.micro_batch_items) * context
    return training_cost("warm start", size, train_tokens, context, held)
