"""Score by size, the simplest property that a better scorer may turn out to be a stand-in for."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import settings
from delt_exp.corpus.pairs import answer_tokens, check_answers
from delt_exp.quantity import Meaning
from delt_exp.scorer.base import Pool


@settings
class LengthScorer:
    """Size of each document, all of its parts, in `bytes` of UTF-8 or `tokens`; `longer` says which end is better.

    `answer_tokens`: of a preference, the tokens of both answers without the prompt, end-of-text included. Exact up to
    2**24 units, the whole numbers of float32. Raises DataError where answers are asked for and not every document is a
    preference.
    """

    VERSION: ClassVar[int] = 1
    unit: Literal["bytes", "tokens", "answer_tokens"]
    longer: bool

    @property
    def needs(self) -> frozenset[str]:
        return frozenset() if self.unit == "bytes" else frozenset({"tokens"})

    @property
    def meaning(self) -> Meaning:
        words = "tokens in both answers" if self.unit == "answer_tokens" else f"{self.unit} of the document"
        explanation = f"Number of {words}; {'long' if self.longer else 'short'} ones are preferred."
        return Meaning(
            "document length",
            "tokens" if self.unit == "answer_tokens" else self.unit,
            "higher" if self.longer else "lower",
            explanation,
        )

    def score(self, pool: Pool) -> NDArray[np.float32]:
        if self.unit == "answer_tokens":
            check_answers(pool.candidates.tokens)
            return answer_tokens(pool.candidates.tokens, pool.rows).sum(1).astype(np.float32)
        if self.unit == "tokens":
            return pool.candidates.tokens.lengths[pool.rows].astype(np.float32)
        return pool.candidates.corpus.whole_bytes[pool.rows].astype(np.float32)
