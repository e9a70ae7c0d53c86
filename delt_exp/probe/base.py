"""What every probe promises: one fixed language model, the same for all texts of a comparison."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from delt_exp.tokenizer.base import Tokenizer

if TYPE_CHECKING:
    from delt_exp.resources import Resources


@dataclass(frozen=True, eq=False)
class ProbeModel:
    """A causal LM in evaluation mode on the device of the runtime, with its own tokenizer.

    context_limit: how many positions it takes, None for no limit.
    """

    network: Any
    tokenizer: Tokenizer
    context_limit: int | None


class Probe(Protocol):
    """Provides a probe; fields of an implementation are the keys of its YAML file."""

    VERSION: ClassVar[int]

    def inputs(self, resources: "Resources") -> dict[str, Any]:
        """Return what besides the fields decides the model, as JSON-like values."""

    def prepare(self, resources: "Resources") -> ProbeModel:
        """Return the model, trained or loaded as its settings say."""
