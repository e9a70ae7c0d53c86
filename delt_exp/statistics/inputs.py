"""Checks of the arrays that the statistics are computed from."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from delt_exp.errors import DataError


def finite(name: str, values: ArrayLike, num_axes: int = 1) -> NDArray[np.float64]:
    """Return `values` as float64 with `num_axes` axes; raises DataError for another shape or a number not finite."""
    array = np.asarray(values, np.float64)
    if array.ndim != num_axes or array.size == 0:
        raise DataError(f"{name} has shape {array.shape}; pass a filled array of {num_axes} axes")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        place = tuple(bad[0].tolist())
        raise DataError(f"{name}{list(place)} is {array[place]}; every value must be finite: repeat its run")
    return array


def check_lengths(**arrays: NDArray[Any]) -> None:
    """Raise DataError unless all arrays are as long as the first."""
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(f"arrays of unequal length: {lengths}; pass one entry per row in each")


def check_varies(name: str, values: NDArray[Any]) -> None:
    """Raise DataError if all values are equal, so that nothing can depend on them."""
    if (values == values[0]).all():
        raise DataError(f"{name} is {values[0]} in all {len(values)} rows; it must vary: add rows that differ in it")
