"""Several scores as one: weighted ranks, or weighted standard scores."""

from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import settings
from delt_exp.config.keys import moved, naming
from delt_exp.errors import ConfigError
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.rows.ranking import spread
from delt_exp.scorer.base import Pool, Scorer
from delt_exp.scorer.parts import check_part, part_costs, part_table
from delt_exp.store.evidence import NAME


@settings
class CombinedScorer:
    """Weighted mean over `parts` of a document's place among all candidates, turned so that higher is better.

    parts: label -> scorer; each is a stage of its own, reused where a run has used that scorer itself. weights: label
    -> weight, null for equal ones; a negative weight prefers what the part does not. by: `rank`, the share of documents
    that are worse, ties at their mean; or `z`, standard deviations from the mean. A part that gives every document the
    same number is left out with a warning. Raises ConfigError for weights that do not fit the parts, and for a label
    that evidence cannot be called after.
    """

    VERSION: ClassVar[int] = 2
    parts: Mapping[str, Scorer]
    weights: Mapping[str, float] | None
    by: Literal["rank", "z"]

    def __post_init__(self) -> None:
        if len(self.parts) < 2:
            raise ConfigError(
                f"scorer.parts has {len(self.parts)} scorers; give at least 2, such as "
                "+scorer@scorer.parts.length=length +scorer@scorer.parts.compression=compression"
            )
        if unfit := [name for name in self.parts if not NAME.fullmatch(name)]:
            raise ConfigError(
                f"scorer.parts has a part called {unfit[0]!r}; use lower-case letters, digits and underscores, such as "
                "+scorer@scorer.parts.length=length: tables of its evidence are called after it"
            )
        if self.weights is not None and set(self.weights) != set(self.parts):
            raise ConfigError(
                f"scorer.weights are given for {', '.join(sorted(self.weights)) or 'nothing'}, but the parts are "
                f"{', '.join(sorted(self.parts))}; give one weight for each"
            )
        if self.weights is not None and not any(self.weights.values()):
            raise ConfigError("scorer.weights are all 0; give at least one that is not")

    @property
    def needs(self) -> frozenset[str]:
        return frozenset().union(*(part.needs for part in self.parts.values()))

    @property
    def meaning(self) -> Meaning:
        least = -1 if any(weight < 0 for weight in (self.weights or {}).values()) else 0
        unit = f"mean rank in [{least}, 1]" if self.by == "rank" else "standard deviations"
        explanation = f"What {', '.join(part.meaning.name for part in self.parts.values())} say of it together."
        return Meaning("combined score", unit, "higher", explanation)

    def score(self, pool: Pool) -> NDArray[np.float32]:
        weights = dict.fromkeys(self.parts, 1.0) if self.weights is None else self.weights
        total_N, sum_of_weights = np.zeros(len(pool.candidates)), 0.0
        for name, part in self.parts.items():
            with naming(moved(part, "scorer", f"scorer.parts.{name}")):
                goodness_N = part_table(pool, name, part).goodness.astype(np.float64)
            if not spread(goodness_N):
                pool.evidence.warn(f"{name} gives every document the same number and is left out of the combination")
                continue
            total_N += weights[name] * (_ranks(goodness_N) if self.by == "rank" else _standard(goodness_N))
            sum_of_weights += abs(weights[name])
        return (total_N / (sum_of_weights or 1.0))[pool.rows].astype(np.float32)

    def check_files(self) -> None:
        for name, part in self.parts.items():
            check_part(f"scorer.parts.{name}", part)

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the costs of all parts; a proxy that several use is counted for each, though it is trained once."""
        everything = replace(sizes, num_scored=None)  # parts score all candidates, whichever are asked for
        return [cost for name, part in self.parts.items() for cost in part_costs(name, part, everything, resources)]


def _ranks(goodness_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank of each number in [0, 1], equal ones at their mean."""
    _, place, counts = np.unique(goodness_N, return_inverse=True, return_counts=True)
    return ((np.cumsum(counts) - counts) + (counts - 1) / 2)[place] / (len(goodness_N) - 1)


def _standard(goodness_N: NDArray[np.float64]) -> NDArray[np.float64]:
    return (goodness_N - goodness_N.mean()) / goodness_N.std()
