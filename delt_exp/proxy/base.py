"""What every proxy promises: one fixed language model that looks at documents."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from delt_exp.corpus.stages import tokens_stage
from delt_exp.corpus.tokens import TokenizedCorpus, Tokens
from delt_exp.errors import ConfigError, DataError
from delt_exp.model.cost import ModelSize, PhaseCost, Sizes
from delt_exp.model.recipe import Network
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.resources import Resources
from delt_exp.tokenizer.base import Tokenizer


@dataclass(frozen=True, eq=False)
class ProxyModel:
    """A causal LM with its own tokenizer.

    name, revision: a folder or Hub name that any process can load. context_tokens: positions of a window.
    position_limit: how many positions it takes, None for no limit.
    """

    name: str
    revision: str | None
    tokenizer: Tokenizer
    context_tokens: int
    position_limit: int | None

    @cached_property
    def network(self) -> Any:
        """The network in evaluation mode, on the CPU when it is first asked for."""

        return load_causal_lm(self.name, self.revision)

    def check_context(self, context_tokens: int, setting: str) -> None:
        """Raise ConfigError where the model takes fewer positions than are to be read; setting: where they are set."""
        _check_positions(self.position_limit, context_tokens, repr(self.name), setting)

    def tokens(self, text: TokenizedCorpus, resources: Resources, *, may_be_empty: bool = False) -> Tokens:
        """Return the tokens of a corpus under this model's tokenizer.

        Raises DataError for a document that has no token to predict, unless it may be empty.
        """
        if text.tokens.meta["tokenizer"] == self.tokenizer.digest:
            return text.tokens
        tokens = tokens_stage(resources.store, text.corpus, self.tokenizer).tokens
        empty = np.flatnonzero(tokens.num_predicted == 0)
        if len(empty) and not may_be_empty:
            raise DataError(
                f"{len(empty)} of {len(tokens)} documents have no token to predict under the tokenizer of proxy "
                f"{self.name!r}, the first in row {empty[0]} of the corpus; use it for training too (tokenizer=hf "
                f"tokenizer.name={self.name}): documents without such a token are then left out"
            )
        return tokens


def _check_positions(limit: int | None, context_tokens: int, name: str, setting: str) -> None:
    if limit is not None and context_tokens > limit:
        raise ConfigError(f"{setting}={context_tokens}, but {name} has {limit} positions; use {setting}={limit}")


@runtime_checkable
class ReadsAsTheRun(Protocol):
    """A proxy that is trained here with the run's tokenizer: what it will read is known before it is trained."""

    @property
    def network(self) -> Network:
        """What will be trained."""


def known_limit(proxy: "Proxy", resources: Resources) -> int | None:
    """Return how many positions the model of a proxy will take; None for no limit, and where it is not known yet."""
    return proxy.network.position_limit(resources.run_tokenizer) if isinstance(proxy, ReadsAsTheRun) else None


def check_before(proxy: "Proxy", resources: Resources, context_tokens: int, setting: str) -> None:
    """Raise what `ProxyModel.check_context` would, before the model is trained, where its positions are known."""
    _check_positions(known_limit(proxy, resources), context_tokens, "the network of the proxy", setting)


class Proxy(Protocol):
    """Provides a proxy model; fields of an implementation are the keys of its YAML file."""

    VERSION: ClassVar[int]

    @property
    def needs(self) -> frozenset[str]:
        """`target` where the model depends on the target set."""

    def inputs(self, resources: Resources) -> dict[str, Any]:
        """Return what besides the fields decides the model, as JSON-like values."""

    def prepare(
        self, resources: Resources, candidates: TokenizedCorpus | None = None, target: TokenizedCorpus | None = None
    ) -> ProxyModel:
        """Return the model, trained or loaded as its settings say; raises ConfigError without the texts it needs."""

    def size(self, sizes: Sizes, resources: Resources, sample_tokens: int) -> ModelSize:
        """Return how large the model is when it reads sequences of `sample_tokens`; loads no weights."""

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return what `prepare` costs the first time."""
