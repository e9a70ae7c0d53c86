"""Weights that are learnt while the network trains."""

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from delt_exp.config.fields import settings
from delt_exp.corpus.tokens import Tokens
from delt_exp.distributed.ranks import Ranks
from delt_exp.errors import ConfigError
from delt_exp.model.cost import ModelSize, PhaseCost, Sizes, training_cost
from delt_exp.model.optimizer import Differentiable
from delt_exp.trainer.job import Setup, TrainJob
from delt_exp.weighter.dwm.settings import DwmSettings
from delt_exp.weighter.setup import check_batch, reading_cost

if TYPE_CHECKING:
    from delt_exp.weighter.dwm.weights import BilevelWeights


@settings
class DwmWeighter(DwmSettings):
    """w = B softmax(f(hidden states) / temperature), f a small model that learns what lowers the validation loss.

    f sees the mean of the last hidden state of every sequence of the global batch. Training has `num_stages` equal
    stages: in the first, all weights are 1; each later one begins with a burst of weighting steps, the share
    `weighting_steps` of its steps, after each of which f takes a step of Adam (`lr`) down the exact derivative, through
    the step of the optimizer just made, of the mean loss of `validation_documents` documents drawn from the target set.
    Then f stays as it is until the next stage.

    temperature: the larger, the more equal the weights. floor: the least weight there can be. entropy_weight: of the
    entropy [nats] of the weights, which is subtracted from the validation loss [nats/token]. width: of f.
    """

    VERSION: ClassVar[int] = 1
    reads_scores: ClassVar[bool] = False
    reads_target: ClassVar[bool] = True

    def check(self, setup: Setup, candidates: Tokens, num_steps: int) -> None:
        check_batch("dwm", setup)
        self._check_steps(num_steps)
        trainer, optimizer = setup.trainer, setup.recipe.optimizer
        if not isinstance(optimizer, Differentiable):
            raise ConfigError(
                "weighter=dwm differentiates through the step of the optimizer, but the derivative of "
                f"{type(optimizer).__name__} is not known; use optimizer@model.optimizer=adamw or sgd"
            )
        if trainer.strategy == "fsdp":
            raise ConfigError(
                "trainer=fsdp keeps parameters in shards, and weighter=dwm needs them whole; use trainer=ddp"
            )
        if trainer.compile:
            raise ConfigError(
                "trainer.compile=true hides the layers that weighter=dwm differentiates; use trainer.compile=false"
            )
        if trainer.resolved_precision() == "16-mixed":
            raise ConfigError(
                "trainer.precision=16-mixed scales gradients, which the derivative of weighter=dwm does not know; use "
                "bf16-mixed or 32-true"
            )

    def open(self, network: Any, job: TrainJob, ranks: Ranks) -> "BilevelWeights":
        from delt_exp.weighter.dwm.weights import BilevelWeights

        self._check_steps(job.plan.num_steps)
        return BilevelWeights(network, job, ranks, self)

    def _check_steps(self, num_steps: int) -> None:
        if num_steps < self.num_stages:
            raise ConfigError(
                f"weighter.num_stages is {self.num_stages}, but training has {num_steps} steps; use fewer stages or "
                "train longer"
            )

    def forecast(self, setup: Setup, sizes: Sizes, size: ModelSize, num_tokens: int) -> list[PhaseCost]:
        recipe, context = setup.recipe, setup.recipe.context_tokens
        num_steps = max(num_tokens // (recipe.batch_items * _sequence_tokens(setup, sizes)), 1)
        num_weighting = sum(self.is_weighting_step(step, num_steps) for step in range(num_steps))
        batch_tokens = min(recipe.batch_items, setup.trainer.micro_batch_items) * context
        validation_tokens = num_weighting * self.validation_documents * context
        # Products with a direction take as many operations as the gradients that a training step has in their place.
        product_tokens = num_tokens * num_weighting // num_steps
        return [
            *reading_cost(setup, size, num_tokens),
            training_cost("weights: validation gradients", size, validation_tokens, context, batch_tokens),
            training_cost("weights: products with sequences", size, product_tokens, context, batch_tokens),
        ]


def _sequence_tokens(setup: Setup, sizes: Sizes) -> int:
    """Return about how many tokens a training sequence predicts."""
    context = setup.recipe.context_tokens
    if setup.training.layout != "padded":
        return context
    return int(np.minimum(sizes.lengths_N + 1, context).mean())
