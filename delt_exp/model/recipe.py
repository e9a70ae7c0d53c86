"""A network and how it is trained: what a file of the `model` config group describes."""

from collections.abc import Iterable
from typing import Any, Protocol

from delt_exp.config.fields import Count, PositiveFloat, settings
from delt_exp.errors import ConfigError
from delt_exp.model.objective import Objective
from delt_exp.model.optimizer import Optimizer
from delt_exp.model.schedule import Schedule
from delt_exp.tokenizer.base import Tokenizer, Vocabulary


class Network(Protocol):
    """Makes the untrained (or pretrained) causal LM."""

    def make(self, tokenizer: Tokenizer, seed: int) -> Any:
        """Return a `transformers` causal LM in float32 on the CPU."""

    def check(self, tokenizer: Tokenizer) -> None:
        """Raise ConfigError when the network cannot read this tokenizer's ids."""

    def position_limit(self, tokenizer: Tokenizer) -> int | None:
        """Return how many positions it can take, None when it has no limit; builds no weights."""

    def transformers_config(self, vocabulary: Vocabulary) -> Any:
        """Return its `transformers` configuration; builds no weights."""


@settings
class Recipe:
    """Network, objective, optimizer, schedule and batch; everything here changes the trained model.

    context_tokens: length of a training sequence. batch_items: sequences in a global batch, whatever the number of
    devices. clip_norm: largest gradient norm, null for no clipping.
    """

    network: Network
    objective: Objective
    optimizer: Optimizer
    schedule: Schedule
    context_tokens: Count
    batch_items: Count
    clip_norm: PositiveFloat | None

    def make_network(self, tokenizer: Tokenizer, seed: int) -> Any:
        """Return the network with its initial weights; raises ConfigError when the context is too long for it."""
        self.check(tokenizer)
        return self.network.make(tokenizer, seed)

    def check(self, tokenizer: Tokenizer) -> None:
        """Raise ConfigError when the network does not go with the tokenizer or the context; builds no weights."""
        self.network.check(tokenizer)
        limit = self.network.position_limit(tokenizer)
        if limit is not None and self.context_tokens > limit:
            raise ConfigError(
                f"model.context_tokens is {self.context_tokens}, but this model has {limit} positions; "
                f"use model.context_tokens={limit} or a model with more positions"
            )

    def lr(self, step: int, num_steps: int) -> float:
        """Return the learning rate of optimizer step 0 .. num_steps-1."""
        return self.optimizer.lr * self.schedule.factor(step, num_steps)


def num_parameters(parameters: Iterable[Any]) -> int:
    """Return how many numbers the parameters hold, shared ones once."""
    return sum(p.numel() for p in parameters)
