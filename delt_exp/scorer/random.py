"""A score that says nothing: what every other scorer has to beat."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Seed, settings
from delt_exp.quantity import Meaning
from delt_exp.rows.draws import uniform_per_id
from delt_exp.scorer.base import Pool

FLOAT32_BITS = 24


@settings
class RandomScorer:
    """Uniform on [0, 1), a function of document id and `seed`: a document keeps its score in any other corpus."""

    VERSION: ClassVar[int] = 2
    needs: ClassVar[frozenset[str]] = frozenset()
    seed: Seed

    @property
    def meaning(self) -> Meaning:
        explanation = "A placebo: drawn at random for each document, so whatever it appears to gain is chance."
        return Meaning("random score", "none", "higher", explanation)

    def score(self, pool: Pool) -> NDArray[np.float32]:
        return random_scores(pool.ids, self.seed)


def random_scores(ids: NDArray[np.uint64], seed: Seed) -> NDArray[np.float32]:
    """Return the random score of each document, in [0, 1)."""
    draws = uniform_per_id(ids, seed, "random scores")
    # Rounding to float32 could reach 1; keeping the upper bits cannot.
    scores: NDArray[np.float32] = np.ldexp(np.floor(np.ldexp(draws, FLOAT32_BITS)), -FLOAT32_BITS)
    return scores.astype(np.float32)
