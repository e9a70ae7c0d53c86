"""Seeded random numbers; none depends on the order of the rows or on global state."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.checks import check_integer
from delt_exp.ranking import rank_ids


def generator(seed: int) -> np.random.Generator:
    """Return a generator of its own for `seed`, a whole number of at least 0; raises ConfigError otherwise."""
    check_integer("seed", seed, at_least=0)
    return np.random.default_rng(seed)


def uniform_per_id(ids: NDArray[np.uint64], seed: int) -> NDArray[np.float64]:
    """Return one number in (0, 1) per document, a function of its id and `seed` alone.

    A document keeps its number when others come or go. Documents of equal id (equal texts) differ by their occurrence:
    the first row of the id gets one number, the second another.
    """
    salt = generator(seed).integers(2**64, dtype=np.uint64)
    hashes = _mix(ids ^ salt)
    hashes += occurrence(ids).astype(np.uint64)
    numbers = (_mix(hashes) >> np.uint64(12)).astype(np.float64)
    # 52 bits and a half: exact, so that the largest number stays below 1.
    return (numbers + 0.5) * 2.0**-52


def occurrence(ids: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Return, for every row, how many rows before it carry the same id."""
    rows = rank_ids(ids)
    sorted_ids = ids[rows]
    is_first = np.ones(len(ids), dtype=np.bool_)
    is_first[1:] = sorted_ids[1:] != sorted_ids[:-1]
    position = np.arange(len(ids))
    result = np.empty_like(rows)
    result[rows] = position - np.maximum.accumulate(np.where(is_first, position, 0))
    return result


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble `values` in place by a bijection of 64 bits: the finaliser of splitmix64 (Steele et al. 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values ^= values >> np.uint64(shift)
        values *= np.uint64(factor)
    values ^= values >> np.uint64(31)
    return values
