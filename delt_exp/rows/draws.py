"""Seeded random numbers; none depends on the order of the rows or on global state.

Every draw names its purpose, and draws of different purposes are independent under the same seed. Where one stream
served two purposes, the second would be decided by the first: a random selector with the seed of a scorer would keep
just those documents that the scorer had drawn.
"""

from functools import cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Seed, check_value
from delt_exp.errors import ConfigError
from delt_exp.rows.ranking import rank_ids

DRAWS = 2.0**64
GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: odd, its multiples are spread evenly over 64 bits


def seed_for(seed: Seed, purpose: str, *parts: int) -> int:
    """Return the seed, in [0, 2^63), of one kind of draw and, with `parts` (an epoch, a step), of one of its draws.

    Raises ConfigError for a `seed` that is not a whole number of at least 0.
    """
    check_value("seed", seed, Seed)
    name = " ".join([purpose, str(int(seed)), *map(str, parts)])
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little") >> 1


def generator(seed: int, purpose: str, *parts: int) -> np.random.Generator:
    """Return the generator of `seed_for`; raises ConfigError as it does."""
    return np.random.default_rng(seed_for(seed, purpose, *parts))


def draw_of(name: int, seed: int, purpose: str) -> int:
    """Return the draw from [0, DRAWS) of the document with this id; other documents have independent ones."""
    salt = _salt(seed, purpose)
    return int.from_bytes(blake2b(name.to_bytes(8, "little"), digest_size=8, salt=salt).digest(), "little")


@cache
def _salt(seed: int, purpose: str) -> bytes:
    return seed_for(seed, purpose).to_bytes(8, "little")


def uniform_per_id(ids: NDArray[np.uint64], seed: int, purpose: str, *parts: int) -> NDArray[np.float64]:
    """Return one number in (0, 1) per document, a function of its id and of `seed_for` alone.

    A document keeps its number when others come or go. Documents of equal id (equal texts) differ by their occurrence:
    the first row of the id gets one number, the second another.
    """
    salt = generator(seed, purpose, *parts).integers(2**64, dtype=np.uint64)
    hashes = splitmix64(ids ^ salt)
    hashes += occurrence(ids).astype(np.uint64)
    numbers = (splitmix64(hashes) >> np.uint64(12)).astype(np.float64)
    # 52 bits and a half: exact, so that the largest number stays below 1.
    return (numbers + 0.5) * 2.0**-52


def shuffled_rows(ids: NDArray[np.uint64], seed: int, purpose: str, *parts: int) -> NDArray[np.intp]:
    """Return all rows in random order, by a number per id."""
    return np.argsort(uniform_per_id(ids, seed, purpose, *parts), kind="stable")


def random_rows(ids: NDArray[np.uint64], count: int, seed: int, purpose: str) -> NDArray[np.intp]:
    """Return `count` random rows (all where there are fewer) in corpus order; more of them include the fewer."""
    return np.sort(shuffled_rows(ids, seed, purpose)[:count])


def target_rows(ids: NDArray[np.uint64], count: int | None, seed: int, purpose: str, key: str) -> NDArray[np.intp]:
    """Return `count` random documents of a target set (None: all) in order; key: where the count is set.

    Raises ConfigError for more documents than there are.
    """
    if count is not None and count > len(ids):
        raise ConfigError(
            f"{key}={count} is more than the {len(ids)} documents of the target set; use a smaller number or null"
        )
    return random_rows(ids, len(ids) if count is None else count, seed, purpose)


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


def fold_of(ids: NDArray[np.uint64], num_folds: int, seed: int) -> NDArray[np.intp]:
    """Return [D] which of the folds each document is in, a function of its id: equal texts share a fold."""
    salt = generator(seed, "folds").integers(2**64, dtype=np.uint64)
    return (splitmix64(ids ^ salt) % np.uint64(num_folds)).astype(np.intp)


def splitmix64(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble `values` in place by a bijection of 64 bits, the finaliser of splitmix64 (Steele et al. 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values ^= values >> np.uint64(shift)
        values *= np.uint64(factor)
    values ^= values >> np.uint64(31)
    return values


def drawn(ids: NDArray[np.uint64], max_documents: int | None, seed: int) -> NDArray[np.intp]:
    """Return the positions of at most `max_documents` random documents (None: all), in order; a draw per id."""
    return random_rows(ids, len(ids) if max_documents is None else max_documents, seed, "documents of an alignment")
