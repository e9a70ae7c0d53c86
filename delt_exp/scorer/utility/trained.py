"""Utilities of language models: what a model that was trained on a set of proxies makes of the target. C proxies."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, Seed, settings
from delt_exp.corpus.tokens import Tokens
from delt_exp.encoder.base import Encoder
from delt_exp.model.cost import ModelSize, PhaseCost, Sizes, forward_cost, model_size, training_cost
from delt_exp.model.hf import PretrainedNetwork
from delt_exp.model.recipe import Recipe
from delt_exp.proxy.base import Proxy, check_before
from delt_exp.resources import Resources
from delt_exp.rows.draws import seed_for, target_rows
from delt_exp.scorer.base import Pool
from delt_exp.scorer.utility.game import Asked
from delt_exp.scorer.utility.training import Trainings, TrainingWorth
from delt_exp.tokenizer.base import Tokenizer


@settings
class RetrainUtility:
    """-loss on the target of a fresh model that `recipe` trains on the proxies, repeated until `train_tokens`.

    num_target: random target documents that the loss is measured on; null for all. One seed serves all training runs.
    """

    VERSION: ClassVar[int] = 1
    encodes_target: ClassVar[bool] = False
    has_closed_form: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset({"target", "tokens"})
    words: ClassVar[str] = "a small model that is trained from its start (-loss on the target)"
    recipe: Recipe
    train_tokens: Count
    num_target: Count | None
    seed: Seed

    def check(self, pool: Pool) -> None:
        _target_rows(self, pool)

    def open(self, pool: Pool, proxies_C: NDArray[np.intp], encoder: Encoder | None = None) -> TrainingWorth:
        assert pool.target is not None
        tokens, target = pool.candidates.tokens, pool.target.tokens
        return _worth(self, self.recipe, pool, proxies_C, tokens, target, pool.resources.run_tokenizer)

    def forecast(self, sizes: Sizes, resources: Resources, asked: Asked) -> list[PhaseCost]:
        """Return the cost of all training runs and of reading the target after each."""
        size = model_size(self.recipe.network.transformers_config(sizes.vocabulary), self.recipe.context_tokens)
        return _costs(self, self.recipe, size, sizes, resources, asked.num_sets)


@settings
class FinetuneUtility:
    """-loss on the target of `proxy`, trained further on the proxies by `recipe`, repeated until `train_tokens`.

    The network of the recipe is replaced by that of the proxy, whose tokenizer it takes. num_target: as in
    `RetrainUtility`.
    """

    VERSION: ClassVar[int] = 1
    encodes_target: ClassVar[bool] = False
    has_closed_form: ClassVar[bool] = False
    words: ClassVar[str] = "a model that is trained further (-loss on the target)"
    proxy: Proxy
    recipe: Recipe
    train_tokens: Count
    num_target: Count | None
    seed: Seed

    @property
    def needs(self) -> frozenset[str]:
        return self.proxy.needs | {"target", "tokens"}

    def check(self, pool: Pool) -> None:
        _target_rows(self, pool)

    def open(self, pool: Pool, proxies_C: NDArray[np.intp], encoder: Encoder | None = None) -> TrainingWorth:
        assert pool.target is not None
        place = "scorer.utility.recipe.context_tokens"
        check_before(self.proxy, pool.resources, self.recipe.context_tokens, place)
        with pool.evidence.phase("warm start"):
            model = self.proxy.prepare(pool.resources, pool.candidates, pool.target)
        model.check_context(self.recipe.context_tokens, place)
        recipe = replace(self.recipe, network=PretrainedNetwork(model.name, model.revision))
        tokens, target = (model.tokens(text, pool.resources) for text in (pool.candidates, pool.target))
        return _worth(self, recipe, pool, proxies_C, tokens, target, model.tokenizer)

    def forecast(self, sizes: Sizes, resources: Resources, asked: Asked) -> list[PhaseCost]:
        """Return the cost of the proxy, of all training runs and of reading the target after each."""
        size = self.proxy.size(sizes, resources, self.recipe.context_tokens)
        return [
            *self.proxy.forecast(sizes, resources),
            *_costs(self, self.recipe, size, sizes, resources, asked.num_sets),
        ]


def _worth(
    utility: RetrainUtility | FinetuneUtility, recipe: Recipe, pool: Pool, rows_C: NDArray[np.intp], tokens: Tokens,
    target: Tokens, tokenizer: Tokenizer,
) -> TrainingWorth:  # fmt: skip
    resources, chosen = pool.resources, _target_rows(utility, pool)
    seed = seed_for(utility.seed, "training on sets of proxies")
    trainings = Trainings(
        recipe, tokens, rows_C, target, chosen, tokenizer, resources.trainer, resources.runtime, utility.train_tokens,
        seed,
    )  # fmt: skip
    return TrainingWorth(trainings, resources.store, pool.work_dir / "training")


def _target_rows(utility: RetrainUtility | FinetuneUtility, pool: Pool) -> NDArray[np.intp]:
    assert pool.target is not None
    ids, key = pool.target.corpus.ids, "scorer.utility.num_target"
    return target_rows(ids, utility.num_target, utility.seed, "target documents of a utility", key)


def _costs(
    utility: RetrainUtility | FinetuneUtility, recipe: Recipe, size: ModelSize, sizes: Sizes, resources: Resources,
    num_sets: int,
) -> list[PhaseCost]:  # fmt: skip
    """Return the cost of training runs and of reading the target, whose documents count as long as the candidates."""
    context = recipe.context_tokens
    held = min(recipe.batch_items, resources.trainer.micro_batch_items) * context
    num_target = min(sizes.num_target, utility.num_target or sizes.num_target)
    read = int(num_target * sizes.lengths_N.mean()) if len(sizes.lengths_N) else 0
    per_pass = resources.runtime.tokens_per_pass()
    return [
        training_cost("valuation: training", size, num_sets * utility.train_tokens, context, held),
        forward_cost("valuation: target", size, num_sets * num_target, num_sets * read, per_pass),
    ]
