"""The linear fit of a datamodel. M halves, C groups."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
PENALTIES = np.logspace(-4, 4, 33)  # of the ridge, times the mean eigenvalue of membership


@dataclass(frozen=True, eq=False)
class Fit:
    """worth of a half = constant + the sum of its groups' values. penalty: in units of the mean eigenvalue."""

    values_C: Floats
    constant: float
    penalty: float

    def predicted(self, halves_MC: NDArray[np.bool_]) -> Floats:
        """Return [M]."""
        return self.constant + halves_MC @ self.values_C


def fitted(halves_MC: NDArray[np.bool_], worth_M: Floats) -> Fit:
    """Return the ridge regression of worth on membership, with the penalty of generalised cross-validation.

    Golub, Heath and Wahba 1979; the constant is not penalised and counts as one parameter. All halves have equally many
    groups, so that a number added to every value changes nothing: values are those with mean 0.
    """
    means_C, mean = halves_MC.mean(0), float(worth_M.mean())
    left_MR, roots_R, right_RC = np.linalg.svd(halves_MC - means_C, full_matrices=False)
    seen_R, squares_R = left_MR.T @ (worth_M - mean), roots_R**2
    outside = float(np.sum((worth_M - mean) ** 2) - np.sum(seen_R**2))  # of all that membership can express
    scale = float(squares_R.sum()) / halves_MC.shape[1]

    def gcv(penalty: float) -> float:
        kept_R = squares_R / (squares_R + penalty * scale)
        residual = max(outside, 0.0) + float(np.sum(((1 - kept_R) * seen_R) ** 2))
        return residual / (len(worth_M) - 1 - float(kept_R.sum())) ** 2

    penalty = float(min(PENALTIES, key=gcv))
    values_C = right_RC.T @ (roots_R / (squares_R + penalty * scale) * seen_R)
    values_C -= values_C.mean()
    return Fit(values_C, mean - float(means_C @ values_C), penalty)
