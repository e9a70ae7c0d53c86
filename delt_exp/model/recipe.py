"""A network and how it is trained: what a file of the `model` config group describes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from delt_exp.checks import check_integer
from delt_exp.errors import ConfigError
from delt_exp.model.optimizer import AdamW
from delt_exp.model.schedule import WarmupCosine
from delt_exp.plan import Plan, PlanSettings, make_plan
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.tokens import Tokens


class Network(Protocol):
    """Makes the untrained (or pretrained) causal LM."""

    def make(self, tokenizer: Tokenizer, seed: int) -> Any:
        """Return a `transformers` causal LM in float32 on the CPU."""

    def config_of(self, tokenizer: Tokenizer) -> Any:
        """Return its `transformers` config without building weights."""


@dataclass(frozen=True)
class Recipe:
    """Network, optimizer, schedule and batch; everything here changes the trained model.

    context_tokens: length of a training sequence. batch_items: sequences in a global batch, whatever the number of
    devices. clip_norm: largest gradient norm, null for no clipping.
    """

    network: Network
    optimizer: AdamW
    schedule: WarmupCosine
    context_tokens: int
    batch_items: int
    clip_norm: float | None

    def __post_init__(self) -> None:
        check_integer("model.context_tokens", self.context_tokens, at_least=1)
        check_integer("model.batch_items", self.batch_items, at_least=1)
        if self.clip_norm is not None and self.clip_norm <= 0:
            raise ConfigError(f"model.clip_norm must be above 0 or null for none, got {self.clip_norm}")

    def make_network(self, tokenizer: Tokenizer, seed: int) -> Any:
        """Return the network with its initial weights; raises ConfigError when the context is too long for it."""
        self.check_context(tokenizer)
        return self.network.make(tokenizer, seed)

    def check_context(self, tokenizer: Tokenizer) -> None:
        """Raise ConfigError when `context_tokens` is beyond the network's positions; builds no weights."""
        limit = position_limit(self.network.config_of(tokenizer))
        if limit is not None and self.context_tokens > limit:
            raise ConfigError(
                f"model.context_tokens is {self.context_tokens}, but this model has {limit} positions; "
                f"use model.context_tokens={limit} or a model with more positions"
            )

    def plan(self, tokens: Tokens, order: NDArray[np.intp], settings: PlanSettings) -> Plan:
        """Return the batches in which this recipe trains `order`; raises DataError for less than one batch."""
        return make_plan(tokens, order, settings, context_tokens=self.context_tokens, batch_items=self.batch_items)


def position_limit(config: Any) -> int | None:
    """Return how many positions a network of this `transformers` config can take, or None when it has no limit."""
    for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
        limit = getattr(config, name, None)
        if isinstance(limit, int):
            return limit
    return None


def num_parameters(parameters: Iterable[Any]) -> int:
    """Return how many numbers the parameters hold, shared ones once."""
    return sum(p.numel() for p in parameters)
