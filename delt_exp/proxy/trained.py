"""A proxy trained here, on the target set or on a random part of the candidates."""

from dataclasses import dataclass
from typing import ClassVar

from delt_exp.corpus.draws import seed_for, shuffled_rows
from delt_exp.cost import ModelSize, PhaseCost, model_size, training_cost
from delt_exp.errors import ConfigError
from delt_exp.model.recipe import Recipe
from delt_exp.proxy.base import ProxyModel
from delt_exp.runtime import Runtime
from delt_exp.scorer.base import Pool
from delt_exp.trainer.plan import PlanSettings


@dataclass(frozen=True)
class TrainedProxy:
    """Trains `recipe` from its start on shuffled documents until `train_tokens` tokens were predicted.

    train_on: `target` (its loss then says how much a document resembles the target set) or `sample` (random candidates;
    its loss says how hard a document is for a model of this corpus). Repeats the documents when they are too few.
    """

    VERSION: ClassVar[int] = 2
    recipe: Recipe
    train_on: str
    train_tokens: int
    seed: int

    def __post_init__(self) -> None:
        if self.train_on not in ("target", "sample"):
            raise ConfigError(f"proxy.train_on is {self.train_on!r}; allowed are target and sample")

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"target"} if self.train_on == "target" else ())

    def prepare(self, pool: Pool, runtime: Runtime) -> ProxyModel:
        from delt_exp.pretrained.loading import load_causal_lm
        from delt_exp.trainer.train import TrainJob, training_stage

        text = pool.target if self.train_on == "target" else pool.candidates
        if text is None:
            raise ConfigError("proxy.train_on is target, but there is no target set; choose target_dataset=...")
        order = shuffled_rows(text.corpus.ids, self.seed, "documents of the proxy")
        settings = PlanSettings(layout="packed", epochs=None, max_tokens=self.train_tokens, completion_only=False)
        plan = self.recipe.plan(text.tokens, order, settings)
        seed = seed_for(self.seed, "training of the proxy")
        job = TrainJob(self.recipe, plan, pool.tokenizer, pool.trainer, seed, "proxy.recipe")
        network = load_causal_lm(training_stage(pool.store, job).pretrained)
        target = None if pool.target is None else pool.target.tokens
        return ProxyModel(network, pool.tokenizer, pool.candidates.tokens, target, self.recipe.context_tokens)

    def size(self, pool: Pool, sample_tokens: int) -> ModelSize:
        """Return the size of the network with the vocabulary of the run's tokenizer."""
        return model_size(self.recipe.network.transformers_config(pool.tokenizer), sample_tokens)

    def forecast(self, pool: Pool) -> list[PhaseCost]:
        """Return the cost of the training."""
        context = self.recipe.context_tokens
        held = min(self.recipe.batch_items, pool.trainer.micro_batch_items) * context
        return [training_cost("warm start", self.size(pool, context), self.train_tokens, context, held)]
