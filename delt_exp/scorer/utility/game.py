"""What a set of clusters is worth: utilities, and the sets that were asked for so far. M sets, C clusters."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from delt_exp.encoder.base import Encoder
from delt_exp.errors import DataError
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.resources import Resources
from delt_exp.scorer.base import Pool

Floats = NDArray[np.float64]
Sets = NDArray[np.bool_]


@dataclass(frozen=True)
class Asked:
    """What is asked of a utility: `num_sets` different sets of `num_clusters`, beginnings of `num_orders` if any."""

    num_sets: int
    num_clusters: int
    num_orders: int = 0


class Utility(Protocol):
    """Says how good it is to learn from some proxy documents; fields of an implementation are keys of its YAML file."""

    VERSION: ClassVar[int]
    encodes_target: ClassVar[bool]  # whether it asks the encoder for vectors of the target, beside the candidates'
    has_closed_form: ClassVar[bool]  # whether its worths are `Solved`

    @property
    def needs(self) -> frozenset[str]:
        """What it depends on beside the texts, as of a scorer."""

    @property
    def words(self) -> str:
        """What is measured, to stand after "how much its proxy adds to"."""

    def check(self, pool: Pool) -> None:
        """Raise ConfigError for settings that do not fit the target; computes nothing."""

    def open(self, pool: Pool, proxies_C: NDArray[np.intp], encoder: Encoder) -> "Worth":
        """Return the worth of sets of the candidates `proxies_C`, rows of the corpus; what is costly are stages."""

    def forecast(self, sizes: Sizes, resources: Resources, asked: "Asked") -> list[PhaseCost]:
        """Return the cost of what an estimator asks for; reads no text."""


class Worth(Protocol):
    """The worth of any sets of the same clusters."""

    def of(self, sets_MC: Sets) -> Floats:
        """Return [M], higher is better; the empty set has a worth too."""


@runtime_checkable
class Solved(Protocol):
    """A worth whose Shapley values have a closed form."""

    def shapley(self) -> Floats:
        """Return [C]."""


@runtime_checkable
class Sequential(Protocol):
    """A worth that grows by one cluster at a time for far less than a set costs."""

    def along(self, order_C: NDArray[np.intp]) -> Iterator[float]:
        """Yield the worth of the first cluster of an order, of the first two, and so on."""


@dataclass
class Game:
    """Asks for the worth of each set once. ids_C: the documents that stand for the clusters, for messages.

    num_asked: how many sets were evaluated.
    """

    worth: Worth
    ids_C: NDArray[np.uint64]
    known: dict[bytes, float] = field(default_factory=dict, init=False)
    num_asked: int = field(default=0, init=False)

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
            for members_C, value in zip(sets_MC[rows], found, strict=True):
                self._refuse_infinite(np.flatnonzero(members_C), value)
            self.known |= dict(zip(new, found.tolist(), strict=True))
            self.num_asked += len(new)
        return np.array([self.known[key] for key in keys])

    def along(self, order_C: NDArray[np.intp]) -> Iterator[float]:
        """Yield the worth of the beginnings of an order, from one cluster on, of a sequential worth; keeps none."""
        assert isinstance(self.worth, Sequential)
        for size, value in enumerate(self.worth.along(order_C), start=1):
            self._refuse_infinite(order_C[:size], value)
            self.num_asked += 1
            yield value

    def _refuse_infinite(self, members: NDArray[np.intp], value: float) -> None:
        if not np.isfinite(value):
            ids = ", ".join(f"{int(one):016x}" for one in self.ids_C[members[:3]]) or "none"
            raise DataError(
                f"the utility of a set of {len(members)} proxies (ids {ids} ...) is {value}; lower the learning rate, "
                "raise the penalty, or look at these documents"
            )
