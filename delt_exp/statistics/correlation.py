"""Correlation and slope around the means of groups, with their error over training corpora and evaluation sets.

Shape suffixes: N points (pairs of training corpus and evaluation set), B weightings, C columns.

Intervals of r are those of t on Fisher's z, of slopes those of t, with the variance V_T of the jackknife over training
corpora (levels - 1 degrees of freedom) and, for at least 5 evaluation sets, V_E - V_TE over sets, at least 0 (V_E holds
the variance V_TE of the pairs, as V_T does), joined as in `paired.py`. With fewer sets, all is about these very sets.
Simulated coverage of r within sets (2000 studies each; weak and strong effects of sets; r 0, -0.7): 13 x 2 0.95 to
0.96, 14 x 7 0.94 to 0.98, there 0.94 to 0.96 where slopes differ between sets; of the slope 0.93 to 0.97.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from delt_exp.errors import DataError
from delt_exp.quantity import Ranged
from delt_exp.statistics.jackknife import Statistic, crossed_estimate
from delt_exp.statistics.paired import Estimate
from delt_exp.statistics.points import Points, weighted_covariances

FEW_CORPORA = 5  # fewer say too little about the variance between them
_LARGEST_R = 1 - 1e-12  # Fisher's z of 1 is infinite
_ROUNDING = 1e-12  # a variance below this share of the whole is rounding error of a constant


def difference_of_r(first: Points, second: Points) -> Estimate | None:
    """Return Fisher's z of r within evaluation sets of `first` minus that of `second`, with its error over corpora.

    Both are about the same pairs, with another x or another y: two metrics, or two models. None where the pairs leave
    nothing to correlate, with all levels or without one. Raises DataError for different pairs, and as `relate` does.
    """
    first, second = first.mean_over_seeds(), second.mean_over_seeds()
    same = np.array_equal(first.train_N, second.train_N) and np.array_equal(first.evaluation_N, second.evaluation_N)
    if not same:
        raise DataError("the two relations are about different pairs; relate both on the pairs they share")
    group_N = np.unique(first.evaluation_N, return_inverse=True)[1]

    def difference(weights_BN: NDArray[np.float64]) -> NDArray[np.float64]:
        one_B, other_B = (fisher_z(r_and_slope(points, group_N, weights_BN)[0]) for points in (first, second))
        return one_B - other_B

    found = over_corpora(difference, first, group_N)
    return found if np.isfinite([found.value, *found.variances]).all() else None


def r_and_slope(
    points: Points, group_N: NDArray[Any], weights_BN: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return r and slope [B] around the means of the groups; nan where x or y does not vary."""
    covariance_BCC = weighted_covariances(weights_BN, np.stack([points.x_N, points.y_N]), group_N)
    xx_B, xy_B, yy_B = covariance_BCC[:, 0, 0], covariance_BCC[:, 0, 1], covariance_BCC[:, 1, 1]
    varies_B = (xx_B > _ROUNDING * points.x_N.var()) & (yy_B > _ROUNDING * points.y_N.var())
    xx_B, yy_B = np.where(varies_B, xx_B, np.nan), np.where(varies_B, yy_B, np.nan)
    return np.clip(xy_B / np.sqrt(xx_B * yy_B), -1, 1), xy_B / xx_B  # rounding may pass 1


def over_corpora(statistic: Statistic, points: Points, group_N: NDArray[Any]) -> Estimate:
    """Return a statistic with its variance, also over evaluation sets where they are many, or their means count."""
    over_sets = len(np.unique(points.evaluation_N)) >= FEW_CORPORA or len(np.unique(group_N)) == 1
    return crossed_estimate(statistic, points.train_N, points.evaluation_N, over_second=over_sets)


def correlation(
    statistic: Statistic, points: Points, group_N: NDArray[Any], alpha: float
) -> tuple[Ranged, Estimate]:  # fmt: skip
    """Return r with its interval, and Fisher's z, on which that is computed: its error is nearly normal."""
    (r,) = statistic(np.ones((1, len(points.x_N))))
    z = over_corpora(lambda weights_BN: fisher_z(statistic(weights_BN)), points, group_N)
    half = half_width(z, alpha)
    return Ranged(float(r), float(np.tanh(z.value - half)), float(np.tanh(z.value + half))), z


def fisher_z(r_B: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Fisher's z of correlations; that of 1 and -1 is large, not infinite."""
    return np.arctanh(np.clip(r_B, -_LARGEST_R, _LARGEST_R))


def half_width(estimate: Estimate, alpha: float) -> float:
    """Return the half width of the interval, infinite where the error is not known."""
    parts = zip(estimate.variances, estimate.dfs, strict=True)
    squared = sum(variance * t.isf(alpha / 2, df) ** 2 for variance, df in parts)
    return float("inf") if np.isnan(squared) else float(np.sqrt(squared))


def detectable_r(z: Estimate, alpha: float) -> float | None:
    """Return the |r| that a test of Fisher's z with this error finds with power 0.8; None where no error is known."""
    is_known = np.isfinite(z.stderr) and z.stderr > 0
    return float(np.tanh(z.detectable(alpha))) if is_known else None


def partial_correlation(covariance_BCC: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return r [B] of x and y given the rest from the covariances of (x, y, rest); nan where the rest determines one.

    What the last column z leaves of the covariance of two others is c_ij - c_iz c_jz / c_zz; times c_zz, which cancels
    in r, nothing is divided by a variance that may be 0. The columns of the rest are freed of each other, last first.
    """
    while covariance_BCC.shape[-1] > 2:
        with_z_BC, zz_B11 = covariance_BCC[:, :-1, -1], covariance_BCC[:, -1:, -1:]
        covariance_BCC = covariance_BCC[:, :-1, :-1] * zz_B11 - with_z_BC[:, :, None] * with_z_BC[:, None]
    rest_xx, rest_xy, rest_yy = covariance_BCC[:, 0, 0], covariance_BCC[:, 0, 1], covariance_BCC[:, 1, 1]
    is_left_B = (rest_xx > _ROUNDING) & (rest_yy > _ROUNDING)
    return np.clip(rest_xy / np.sqrt(np.where(is_left_B, rest_xx * rest_yy, np.nan)), -1, 1)
