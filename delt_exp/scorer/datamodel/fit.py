"""The linear fit of a datamodel. M halves, C groups, S seeds."""

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


def fitted(halves_MC: NDArray[np.bool_], worth_M: Floats, seed_M: NDArray[np.intp]) -> Fit:
    """Return the ridge regression of worth on membership, with the penalty of generalised cross-validation.

    Golub, Heath and Wahba 1979. Each seed of training runs has a constant of its own, which is not penalised and counts
    as one parameter: how good a seed is must not count as the value of the groups that it happened to train on; the
    fit's is their mean. All halves have equally many groups, so that a number added to every value changes nothing:
    values are those with mean 0.
    """
    is_of_SM = np.unique(seed_M)[:, None] == seed_M
    mean_SM = is_of_SM / is_of_SM.sum(1, keepdims=True)
    centred_MC = halves_MC - is_of_SM.T @ (mean_SM @ halves_MC)
    centred_M = worth_M - is_of_SM.T @ (mean_SM @ worth_M)
    left_MR, roots_R, right_RC = np.linalg.svd(centred_MC, full_matrices=False)
    seen_R, squares_R = left_MR.T @ centred_M, roots_R**2
    outside = float(np.sum(centred_M**2) - np.sum(seen_R**2))  # of all that membership can express
    scale = float(squares_R.sum()) / halves_MC.shape[1]

    def gcv(penalty: float) -> float:
        kept_R = squares_R / (squares_R + penalty * scale)
        residual = max(outside, 0.0) + float(np.sum(((1 - kept_R) * seen_R) ** 2))
        return residual / (len(worth_M) - len(mean_SM) - float(kept_R.sum())) ** 2

    penalty = float(min(PENALTIES, key=gcv))
    values_C = right_RC.T @ (roots_R / (squares_R + penalty * scale) * seen_R)
    values_C -= values_C.mean()
    constant = float((mean_SM @ (worth_M - halves_MC @ values_C)).mean())
    return Fit(values_C, constant, penalty)
