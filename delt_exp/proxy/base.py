"""What every proxy model promises."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from delt_exp.corpus.tokens import Tokens
from delt_exp.cost import ModelSize, PhaseCost
from delt_exp.runtime import Runtime
from delt_exp.scorer.base import Pool
from delt_exp.tokenizer.base import Tokenizer


@dataclass(frozen=True, eq=False)
class ProxyModel:
    """A causal LM ready to look at documents, with candidates and target (if any) under its own tokenizer."""

    network: Any
    tokenizer: Tokenizer
    candidates: Tokens
    target: Tokens | None
    context_tokens: int


class Proxy(Protocol):
    """Provides a proxy model; fields of an implementation are the keys of its YAML file."""

    VERSION: ClassVar[int]

    @property
    def needs(self) -> frozenset[str]:
        """`target` where the model depends on the target set."""

    def prepare(self, pool: Pool, runtime: Runtime) -> ProxyModel:
        """Return the model in evaluation mode, trained or loaded as its settings say."""

    def size(self, pool: Pool, sample_tokens: int) -> ModelSize:
        """Return how large the model is when it reads sequences of `sample_tokens`; loads no weights."""

    def forecast(self, pool: Pool) -> list[PhaseCost]:
        """Return what `prepare` costs the first time."""
