"""The variance of a statistic over two crossed factors, such as training corpora and evaluation sets, by leaving out.

Shape suffixes: N points, B weightings, F levels of the first factor, S of the second.

Points that share a level are not independent, so whole levels are left out. With V_F the variance of the jackknife over
the first factor, V_S over the second and V_FS over pairs of both, the variance is V_F + max(V_S - V_FS, 0): V_F and V_S
both hold that of the pairs. The parts have the degrees of freedom F - 1 and S - 1.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.statistics.paired import Estimate

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""One number for each weighting [B, N] of the points, nan where it is undefined."""


def crossed_estimate(
    statistic: Statistic, first_N: NDArray[Any], second_N: NDArray[Any], *, over_second: bool, over_first: bool = True
) -> Estimate:
    """Return the statistic of all points with its variance over levels; a factor of one level has no part in it.

    over_first, over_second: whether to claim something about other levels of a factor. A variance is nan where leaving
    levels out leaves nothing to compute the statistic from.
    """
    value = float(statistic(np.ones((1, len(first_N))))[0])
    left_F, left_S = (labels_N != np.unique(labels_N)[:, None] for labels_N in (first_N, second_N))
    parts: list[tuple[float, float]] = []
    many_F, many_S = over_first and len(left_F) > 1, over_second and len(left_S) > 1
    if many_F:
        parts.append((_variance(statistic(left_F.astype(float)), 0), len(left_F) - 1))
    if many_S:
        pairs = 0.0
        if many_F:
            both = (left_F[:, None] & left_S).reshape(-1, left_S.shape[1]).astype(float)
            left_FS = statistic(both).reshape(len(left_F), len(left_S))
            pairs = _variance(left_FS - left_FS.mean(0), 1)
        excess = _variance(statistic(left_S.astype(float)), 0) - pairs
        parts.append((float(np.maximum(excess, 0.0)), len(left_S) - 1))
    variances, dfs = zip(*parts or [(0.0, 1.0)], strict=True)
    return Estimate(value, variances, dfs, float(np.sqrt(sum(variances))), "corpora")


def _variance(left_out: NDArray[np.float64], axis: int) -> float:
    """Return (n - 1) / n times the sum of squares around the mean along `axis`, and so for other axes around 0."""
    factor = np.prod([(size - 1) / size for size in left_out.shape])
    return float(factor * np.square(left_out - left_out.mean(axis, keepdims=True)).sum())
