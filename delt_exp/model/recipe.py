"""A network and how it is trained: what a file of the `model` config group describes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from delt_exp.errors import ConfigError
from delt_exp.model.optimizer import AdamW
from delt_exp.model.schedule import WarmupCosine
from delt_exp.tokenizer.base import Tokenizer


class Network(Protocol):
    """Makes the untrained (or pretrained) causal LM."""

    def make(self, tokenizer: Tokenizer, seed: int) -> Any:
        """Return a `transformers` causal LM in float32 on the CPU."""


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
        if self.clip_norm is not None and self.clip_norm <= 0:
            raise ConfigError(f"model.clip_norm must be above 0 or null for none, got {self.clip_norm}")

    def make_network(self, tokenizer: Tokenizer, seed: int) -> Any:
        """Return the network; raises ConfigError when its position limit is below `context_tokens`."""
        network = self.network.make(tokenizer, seed)
        limit = position_limit(network)
        if limit is not None and self.context_tokens > limit:
            raise ConfigError(
                f"model.context_tokens is {self.context_tokens}, but this model has {limit} positions; "
                f"use model.context_tokens={limit} or a model with more positions"
            )
        return network


def position_limit(network: Any) -> int | None:
    """Return how many positions a network can take, or None when it has no limit."""
    for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
        limit = getattr(network.config, name, None)
        if isinstance(limit, int):
            return limit
    return None


def num_parameters(parameters: Iterable[Any]) -> int:
    """Return how many numbers the parameters hold, shared ones once."""
    return sum(p.numel() for p in parameters)
