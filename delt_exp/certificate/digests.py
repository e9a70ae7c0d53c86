"""Digests of token ids that can be joined and cut: that of a stretch follows from those of what it is made of.

H(x_0 .. x_{n-1}) = sum_j (x_j + 1) C M^j mod 2^64, with odd C and M. So H(ab) = H(a) + M^|a| H(b), which lets a
verifier recognise the same tokens in other sequences. It tells mistakes apart, with a chance of about 2^-64 of missing
one; it is no protection against someone who wants to deceive.
"""

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
MULTIPLIER = 0xD1342543DE82EF95
FACTOR = 0x9E3779B97F4A7C15
INVERSE = pow(MULTIPLIER, -1, 1 << 64)


def powers(count: int, base: int = MULTIPLIER) -> Hashes:
    """Return [count] the powers base^0, base^1, ... mod 2^64."""
    factors = np.full(max(count, 1), base, np.uint64)
    factors[0] = 1
    return np.cumprod(factors, dtype=np.uint64)[:count]


def terms(ids: NDArray[np.integer]) -> Hashes:
    """Return (id + 1) C of each token id."""
    return (ids.astype(np.uint64) + np.uint64(1)) * np.uint64(FACTOR)


def digest_of(ids: NDArray[np.integer]) -> int:
    """Return the digest of one sequence of token ids."""
    return int((terms(ids) * powers(len(ids))).sum(dtype=np.uint64))


class Stretches:
    """The digests of all stretches of a stream that fits in memory: 24 bytes per token."""

    def __init__(self, ids: NDArray[np.integer]) -> None:
        self.length = len(ids)
        sums = np.cumsum(terms(ids) * powers(len(ids)), dtype=np.uint64)
        self.before = np.concatenate([np.zeros(1, np.uint64), sums])
        self.inverse = powers(len(ids) + 1, INVERSE)

    def digests(self, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> Hashes:
        """Return the digests of the stretches [start, stop)."""
        return np.asarray((self.before[stops] - self.before[starts]) * self.inverse[starts])
