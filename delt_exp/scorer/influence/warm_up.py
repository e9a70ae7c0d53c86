"""The short training run whose checkpoints documents are judged at, one after each epoch."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, PositiveFloat, PositiveShare, Seed, settings
from delt_exp.config.keys import moved, naming
from delt_exp.corpus.tokens import Tokens
from delt_exp.errors import ConfigError, DataError
from delt_exp.model.cost import FORWARD_BACKWARD, ModelSize, PhaseCost, Sizes
from delt_exp.model.hf import PretrainedNetwork
from delt_exp.model.lora import Adapters
from delt_exp.model.objective import CrossEntropy
from delt_exp.model.optimizer import Optimizer
from delt_exp.model.recipe import Network, Recipe
from delt_exp.model.schedule import Schedule
from delt_exp.proxy.base import ProxyModel
from delt_exp.resources import Resources
from delt_exp.rows.draws import random_rows, seed_for, shuffled_rows
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.trainer.job import TrainJob
from delt_exp.trainer.plan import Plan
from delt_exp.trainer.planning import EmptyBatchError, Layout, PlanSettings, make_plan
from delt_exp.trainer.trajectory import Checkpoint, trajectory_stage

FROZEN = 4  # operations per parameter and token where the weights themselves get no gradient: forward 2, backward 2


@dataclass(frozen=True)
class State:
    """A checkpoint and what it counts in the sum: the mean learning rate of its epoch over the sum of all epochs'."""

    checkpoint: Checkpoint
    lr: float
    weight: float


@settings
class WarmUp:
    """Trains the proxy for `epochs` on a random share of the candidates, each epoch in an order of its own.

    adapters: trained in place of the weights; null trains all weights. layout, context_tokens, batch_items, clip_norm,
    optimizer, schedule: of training. Prompts are read and not predicted, as when documents are judged.
    """

    VERSION: ClassVar[int] = 1
    share: PositiveShare
    epochs: Count
    adapters: Adapters | None
    optimizer: Optimizer
    schedule: Schedule
    layout: Layout
    context_tokens: Count
    batch_items: Count
    clip_norm: PositiveFloat | None
    seed: Seed

    def check(self, network: Network, tokenizer: Tokenizer, tokens: Tokens) -> None:
        """Raise DeltError for what cannot be trained; trains nothing.

        network, tokenizer: of the proxy. tokens: all candidates, as it reads them. ConfigError for fewer updates than
        epochs, a schedule or context that does not fit, and adapters of other layers; DataError for less than a batch.
        """
        recipe, num_steps = self._recipe(network), self._plan(tokens).num_steps
        self._last_steps(num_steps)
        with naming(KEYS):
            recipe.check(tokenizer)
            recipe.schedule.check(num_steps)

    def states(self, resources: Resources, proxy: ProxyModel, tokens: Tokens) -> list[State]:
        """Return the state after each epoch, trained once; tokens: all candidates, as the proxy reads them."""
        recipe, plan = self._recipe(PretrainedNetwork(proxy.name, proxy.revision)), self._plan(tokens)
        seed = seed_for(self.seed, "warm-up run")
        job = TrainJob(recipe, plan, proxy.tokenizer, resources.trainer, seed)
        steps = self._last_steps(plan.num_steps)
        with naming(KEYS):
            checkpoints = trajectory_stage(resources.store, job, steps)
        rates = [recipe.lr(step, plan.num_steps) for step in range(plan.num_steps)]
        epochs = np.split(np.array(rates), steps[:-1])
        return weighted(checkpoints, [float(epoch.mean()) for epoch in epochs])

    def forecast(self, sizes: Sizes, size: ModelSize, micro_batch_items: int) -> PhaseCost:
        """Return the cost of the run on documents of average length."""
        num_tokens = round(self.share * float((sizes.lengths_N + 1).sum())) * self.epochs
        # Parameters and, where they are trained, gradient and two moments.
        vectors = 1 if self.adapters else 4
        held = min(self.batch_items, micro_batch_items) * self.context_tokens * size.activation_bytes_per_token
        flops = float(FROZEN if self.adapters else FORWARD_BACKWARD) * size.parameters * num_tokens
        passes = -(-num_tokens // self.context_tokens)
        return PhaseCost("warm-up", passes, flops, vectors * size.parameter_bytes + held)

    def _recipe(self, base: Network) -> Recipe:
        network = base if self.adapters is None else self.adapters.on(base)
        settings = self.optimizer, self.schedule, self.context_tokens, self.batch_items, self.clip_norm
        return Recipe(network, CrossEntropy(), *settings)

    def _rows(self, ids: NDArray[np.uint64]) -> NDArray[np.intp]:
        return random_rows(ids, max(1, round(self.share * len(ids))), self.seed, "documents of the warm-up run")

    def _plan(self, tokens: Tokens) -> Plan:
        rows = self._rows(tokens.ids)
        orders = [
            rows[shuffled_rows(tokens.ids[rows], self.seed, "order of the warm-up run", epoch)]
            for epoch in range(self.epochs)
        ]
        settings = PlanSettings(self.layout, epochs=1, max_tokens=None, completion_only=True)
        sizes = {"context_tokens": self.context_tokens, "batch_items": self.batch_items}
        try:
            return make_plan(tokens, np.concatenate(orders), settings, **sizes)
        except DataError as error:
            problem = str(error).split(";")[0]  # the cure that follows is that of the run's own training
            cure = "raise scorer.warm_up.share, or lower scorer.warm_up.batch_items"
            if isinstance(error, EmptyBatchError):
                cure = "raise scorer.warm_up.batch_items or scorer.warm_up.context_tokens, or shorten prompts"
            raise DataError(f"the warm-up run on {len(rows)} random candidates: {problem}; {cure}") from error

    def _last_steps(self, num_steps: int) -> list[int]:
        """Return how many updates are done when each epoch is complete."""
        if num_steps < self.epochs:
            raise ConfigError(
                f"the warm-up run has {num_steps} updates for scorer.warm_up.epochs={self.epochs}, so that not every "
                "epoch has one; raise scorer.warm_up.share or lower scorer.warm_up.batch_items"
            )
        return [-(-num_steps * epoch // self.epochs) for epoch in range(1, self.epochs + 1)]


# What the training run names as of a model -> as it is configured.
KEYS = moved(WarmUp, "model", "scorer.warm_up") | moved(Adapters, "model.network", "scorer.warm_up.adapters")
KEYS |= {"model.network": "proxy"}


def weighted(checkpoints: list[Checkpoint], rates: list[float]) -> list[State]:
    """Return checkpoints with weights that sum to 1; rates: the mean learning rate of each one's epoch.

    Raises ConfigError where there is not one finite rate of at least 0 for each, or all are 0.
    """
    if len(rates) != len(checkpoints):
        raise ConfigError(f"{len(checkpoints)} checkpoints have {len(rates)} weights; give one for each")
    total = sum(rates)
    if not (all(rate >= 0 for rate in rates) and 0 < total < float("inf")):
        raise ConfigError(
            f"the mean learning rates of the warm-up's epochs are {rates}; weights need numbers of at least 0 with a "
            "sum above 0: change scorer.warm_up.schedule or scorer.warm_up.optimizer.lr"
        )
    return [State(*pair, pair[1] / total) for pair in zip(checkpoints, rates, strict=True)]
