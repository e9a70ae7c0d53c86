"""Curves that approach a limit: y = a - b n^-c. N points."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

EXPONENTS = np.geomspace(0.02, 4, 120)


class Saturating(NamedTuple):
    """y = limit - drop n^-exponent; exponent > 0, and drop may be negative where y falls."""

    limit: float
    drop: float
    exponent: float

    @property
    def is_identified(self) -> bool:
        """Whether the exponent lies inside the grid; at its border the points have no bend to tell it by."""
        return bool(EXPONENTS[0] < self.exponent < EXPONENTS[-1])

    def __call__(self, n_N: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return [N] the curve at n."""
        return self.limit - self.drop * n_N**-self.exponent


def fit_saturating(n_N: NDArray[np.float64], y_N: NDArray[np.float64]) -> Saturating:
    """Return the least-squares curve: limit and drop are exact for each exponent of a fixed grid, and the best wins.

    A grid, because the squared error is flat along it for few points and a descent stops anywhere. Needs points at
    three different n; raises ValueError for fewer.
    """
    if len(np.unique(n_N)) < 3:
        raise ValueError(f"a curve of three parameters needs points at three sizes, got {len(np.unique(n_N))}")
    best, found = np.inf, Saturating(0.0, 0.0, 1.0)
    for exponent in EXPONENTS:
        design_N2 = np.stack([np.ones_like(n_N), -(n_N**-exponent)], axis=1)
        (limit, drop), *_ = np.linalg.lstsq(design_N2, y_N, rcond=None)
        error = float(np.square(design_N2 @ [limit, drop] - y_N).sum())
        if error < best - 1e-15:
            best, found = error, Saturating(float(limit), float(drop), float(exponent))
    return found
