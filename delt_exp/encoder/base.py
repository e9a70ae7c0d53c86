"""What every encoder promises: one vector per document."""

from typing import Any, ClassVar, Protocol, runtime_checkable

from delt_exp.mapping.judge import TextJudge
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.resources import Resources


@runtime_checkable
class Encoder(Protocol):
    """Gives every document a vector; fields of an implementation are the keys of its YAML file."""

    VERSION: ClassVar[int]  # bump when unchanged settings give changed vectors

    def inputs(self, resources: Resources) -> dict[str, Any]:
        """Return what besides the fields decides the vectors, as JSON-like values."""

    def judge(self, resources: Resources) -> TextJudge:
        """Return the judgement whose numbers of a document are its vector, of length 1.

        Trains or fetches the model it needs. Raises ConfigError for a context longer than the model has positions.
        """

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return what its model and the vectors of the documents cost, in the phase `encoding`; reads no text."""
