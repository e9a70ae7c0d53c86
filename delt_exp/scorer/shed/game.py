"""What a set of clusters is worth: utilities, and the sets that were asked for so far. M sets, C clusters."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from delt_exp.encoder.base import Encoder
from delt_exp.errors import DataError
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.resources import Resources
from delt_exp.scorer.base import Pool

Floats = NDArray[np.float64]
Sets = NDArray[np.bool_]


class Utility(Protocol):
    """Says how good it is to learn from some proxy documents; fields of an implementation are keys of its YAML file."""

    VERSION: ClassVar[int]
    encodes_target: ClassVar[bool]  # whether it asks the encoder for vectors of the target, beside the candidates'

    @property
    def needs(self) -> frozenset[str]:
        """What it depends on beside the texts, as of a scorer."""

    @property
    def words(self) -> str:
        """What is measured, to stand after "how much its proxy adds to"."""

    def open(self, pool: Pool, proxies_C: NDArray[np.intp], encoder: Encoder) -> "Worth":
        """Return the worth of sets of the candidates `proxies_C`, rows of the corpus; what is costly are stages."""

    def forecast(self, sizes: Sizes, resources: Resources, num_sets: int) -> list[PhaseCost]:
        """Return the cost of `num_sets` different sets; reads no text."""


class Worth(Protocol):
    """The worth of any sets of the same clusters."""

    def of(self, sets_MC: Sets) -> Floats:
        """Return [M], higher is better; the empty set has a worth too."""


@runtime_checkable
class Solved(Protocol):
    """A worth whose Shapley values have a closed form."""

    def shapley(self) -> Floats:
        """Return [C]."""


@dataclass
class Game:
    """Asks for the worth of each set once. ids_C: the documents that stand for the clusters, for messages."""

    worth: Worth
    ids_C: NDArray[np.uint64]
    known: dict[bytes, float] = field(default_factory=dict, init=False)

    @property
    def num_clusters(self) -> int:
        return len(self.ids_C)

    @property
    def nothing(self) -> float:
        return float(self(np.zeros((1, self.num_clusters), np.bool_))[0])

    @property
    def everything(self) -> float:
        return float(self(np.ones((1, self.num_clusters), np.bool_))[0])

    def __call__(self, sets_MC: Sets) -> Floats:
        """Return [M]; raises DataError for a worth that is not finite."""
        keys = [row.tobytes() for row in np.packbits(sets_MC, axis=1)]
        new = {key: row for row, key in enumerate(keys) if key not in self.known}
        if new:
            rows = list(new.values())
            found = self.worth.of(sets_MC[rows])
            self._refuse_infinite(sets_MC[rows], found)
            self.known |= dict(zip(new, found.tolist(), strict=True))
        return np.array([self.known[key] for key in keys])

    def _refuse_infinite(self, sets_MC: Sets, found_M: Sequence[Any] | Floats) -> None:
        for members_C, value in zip(sets_MC, found_M, strict=True):
            if not np.isfinite(value):
                ids = ", ".join(f"{int(one):016x}" for one in self.ids_C[members_C][:3]) or "none"
                raise DataError(
                    f"the utility of a set of {int(members_C.sum())} proxies (ids {ids} ...) is {value}; lower the "
                    "learning rate, raise the penalty, or look at these documents"
                )
