"""Sorting and counting documents by score; what selectors and orderers are made of.

A key of 64 bits holds 32 bits to sort by above the 32 bits of a position, so that the sort of plain integers, which
numpy vectorises, gives a stable order and carries the positions along. Three such passes (lower and upper half of the
id, then the score) rank 1e8 documents in half the time of `np.lexsort` or less, whatever the ties.
"""

import math
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import DataError

_POSITION_BITS = np.uint64(32)
_POSITION = np.uint64(2**32 - 1)
ROUNDING_ULPS = 4  # what adding a few numbers in another order changes


def rank(ids: NDArray[np.uint64], scores: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return row positions from the lowest to the highest score; equal scores by id, equal ids by row.

    Equal to `np.lexsort((ids, scores))`. Raises DataError for a table that is not well formed.
    """
    check_table(ids, scores)
    rows = rank_ids(ids)
    return rows[_sort(_ordered_bits(scores[rows]).astype(np.uint64) << _POSITION_BITS)]


def rank_ids(ids: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Return row positions from the lowest to the highest id; equal ids by row."""
    rows = _sort(ids << _POSITION_BITS)
    return rows[_sort(ids[rows])]


def best_rows(ids: NDArray[np.uint64], keys: NDArray[np.floating], num_rows: int) -> NDArray[np.intp]:
    """Return the positions, in row order, of the `num_rows` highest keys; of equal keys the higher ids stay.

    These are the last `num_rows` entries of the ranking, found without sorting. `num_rows` is in [1, N].
    """
    lowest_kept = np.partition(keys, len(keys) - num_rows)[len(keys) - num_rows]
    keep = keys > lowest_kept
    tied = np.flatnonzero(keys == lowest_kept)
    num_open = num_rows - np.count_nonzero(keep)
    keep[tied[rank_ids(ids[tied])[-num_open:]]] = True
    return np.flatnonzero(keep)


def spread(values: NDArray[Any]) -> float:
    """Return the population standard deviation; 0 where only rounding sets the values apart.

    So it does where, in float32, each is within `ROUNDING_ULPS` units in the last place of the next. Many values can
    only be so close if their range is small, which is looked at first, because it needs no sorting.
    """
    if not len(values):
        return 0.0
    exact = values.astype(np.float64)
    step = float(_steps(np.abs(exact).max()))
    return 0.0 if np.ptp(exact) <= len(exact) * step and _are_neighbours(values) else float(exact.std())


def _are_neighbours(values: NDArray[Any]) -> bool:
    distinct = np.unique(values.astype(np.float32))
    farther = np.maximum(np.abs(distinct[1:]), np.abs(distinct[:-1]))
    return bool((np.diff(distinct.astype(np.float64)) <= _steps(farther)).all())


def _steps(sizes: NDArray[Any]) -> NDArray[np.float32]:
    """Return how far rounding alone may set values of these sizes apart; beyond the largest there is no next one."""
    below_largest = np.nextafter(np.finfo(np.float32).max, np.float32(0))
    return np.float32(ROUNDING_ULPS) * np.spacing(np.minimum(sizes, below_largest).astype(np.float32))


def floor_share(ratio: float, num_rows: int) -> int:
    """Return floor(ratio * num_rows) of the decimal that was written: 0.29 of 100 is 29, not 28.

    Storing the ratio and multiplying each lose at most half a unit in the last place (2**-53); raising the product by
    2**-51 of itself covers both and is far below any fraction that a written ratio can mean.
    """
    return math.floor(ratio * num_rows * (1 + 2 * sys.float_info.epsilon))


def check_table(ids: NDArray[np.uint64], scores: NDArray[np.float32]) -> None:
    """Raise DataError unless ids uint64 [N] and scores float32 [N] are of one length, at most 2**32, and finite."""
    is_table = ids.dtype == np.dtype(np.uint64) and scores.dtype == np.dtype(np.float32)
    if not is_table or ids.ndim != 1 or ids.shape != scores.shape:
        raise DataError(
            f"ids {ids.dtype}{list(ids.shape)} and scores {scores.dtype}{list(scores.shape)} do not form a table; "
            "pass uint64 [N] and float32 [N]"
        )
    if len(ids) > 2**32:
        raise DataError(f"{len(ids)} documents are too many for one ranking; split the corpus below 2**32 documents")
    # The sum of finite float32 numbers is finite in float64, and costs no array.
    if not np.isfinite(scores.sum(dtype=np.float64)):
        row = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise DataError(f"the score of row {row} is {scores[row]}; scores must be finite: correct the scorer")


def _sort(keys: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Return the stable argsort of the upper halves of `keys`, in the memory of `keys`."""
    keys &= ~_POSITION
    keys |= np.arange(len(keys), dtype=np.uint32)
    keys.sort()
    keys &= _POSITION
    return keys.view(np.intp)


def _ordered_bits(scores: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Return integers that sort as the scores do: all bits of a negative number flipped, else the sign bit alone."""
    bits = (scores + np.float32(0)).view(np.uint32)  # adding zero turns -0.0, which equals 0.0, into 0.0
    bits ^= (bits.view(np.int32) >> 31).view(np.uint32) | np.uint32(2**31)
    return bits
