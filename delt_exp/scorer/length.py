"""Score by size, the simplest property that a better scorer may turn out to be a stand-in for."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import settings
from delt_exp.quantity import Meaning
from delt_exp.scorer.base import Pool


@settings
class LengthScorer:
    """Size of each document, all of its parts, in `bytes` of UTF-8 or `tokens`; `longer` says which end is better.

    Exact up to 2**24 units, the whole numbers of float32.
    """

    VERSION: ClassVar[int] = 1
    unit: Literal["bytes", "tokens"]
    longer: bool

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"tokens"} if self.unit == "tokens" else ())

    @property
    def meaning(self) -> Meaning:
        explanation = f"Number of {self.unit} of the document; {'long' if self.longer else 'short'} ones are preferred."
        return Meaning(
            "document length",
            self.unit,
            "higher" if self.longer else "lower",
            explanation,
        )

    def score(self, pool: Pool) -> NDArray[np.float32]:
        if self.unit == "tokens":
            return pool.candidates.tokens.lengths[pool.rows].astype(np.float32)
        return pool.candidates.corpus.whole_bytes[pool.rows].astype(np.float32)
