"""Words, hashed and projected: an encoder that needs no model. D documents, K features."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, Seed, settings
from delt_exp.mapping.judge import TextBatch
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.resources import Resources
from delt_exp.rows.draws import seed_for

WORD = re.compile(r"\w+|[^\w\s]")
UNLIMITED = 2**31 - 1


@settings
class HashingEncoder:
    """Counts of the words and signs of a text, damped to 1 + ln(count), each at a hashed place with a hashed sign.

    Inner products are those of the damped counts, without bias (feature hashing: Weinberger et al. 2009, arXiv
    0902.2206). Knows which words occur and nothing of their order or meaning. num_features: length of a vector.
    """

    VERSION: ClassVar[int] = 1
    num_features: Count
    seed: Seed

    def inputs(self, resources: Resources) -> dict[str, Any]:
        return {}

    def judge(self, resources: Resources) -> "HashedWords":
        return HashedWords(self.num_features, seed_for(self.seed, "features of the hashing encoder"))

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return nothing: it multiplies nothing."""
        return []


@dataclass(frozen=True)
class HashedWords:
    """The judgement of `HashingEncoder`; a text without a word gets its hash as its one word."""

    dtype: ClassVar[str] = "float32"
    context_tokens: ClassVar[int] = UNLIMITED
    width: int
    seed: int

    def open(self, device: str) -> Callable[[TextBatch], NDArray[np.float32]]:
        return lambda batch: np.stack([self.vector(text) for text in batch.texts])

    def vector(self, text: str) -> NDArray[np.float32]:
        """Return the vector [K] of one text, of length 1."""
        counts = Counter(WORD.findall(text.casefold()) or [text])
        places = np.array([self._place(word) for word in counts], np.int64)
        damped = 1 + np.log(np.array([*counts.values()], np.float64))
        sums_K = np.bincount(places >> 1, damped * (1 - 2 * (places & 1)), self.width)
        length = float(np.linalg.norm(sums_K))
        if not length:  # all words cancel: of two words, one in 2 K times
            sums_K, length = np.bincount(places[:1] >> 1, minlength=self.width), 1.0
        return (sums_K / length).astype(np.float32)

    def _place(self, word: str) -> int:
        """Return twice the feature of a word, plus 1 for a negative sign."""
        key, name = self.seed.to_bytes(8, "little"), word.encode("utf-8", "surrogatepass")
        return int.from_bytes(blake2b(name, digest_size=8, key=key).digest(), "little") % (2 * self.width)
