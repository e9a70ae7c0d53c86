"""Where documents stand in a table that somebody else made."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def looked_up(keys: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.intp]:
    """Return for each wanted key the row of `keys` that holds it, the first of several, and -1 where none does."""
    keys = keys.astype(wanted.dtype, copy=False)  # int64 against uint64 would be compared as floats
    order = np.argsort(keys, kind="stable")
    rows: NDArray[np.intp] = np.append(order, -1)[np.searchsorted(keys, wanted, sorter=order)]
    is_there = rows >= 0  # -1: beyond the last key
    is_there[is_there] = keys[rows[is_there]] == wanted[is_there]
    return np.where(is_there, rows, -1)
