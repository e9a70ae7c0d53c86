"""Does the alignment of a training corpus with an evaluation set say what the loss there will be?

Shape suffixes: N points (pairs of training corpus and evaluation set), B weightings, G grid.

The primary relation is that within evaluation sets, around the means of each: which corpus is best for this set? Sets
differ in how hard they are, and with a few sets the correlation over all pairs is mostly that of these few means, about
which a bootstrap over sets says next to nothing: r over all pairs is reported without an interval. How intervals
are made: `correlation.py`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import linregress, spearmanr, t

from delt_exp.errors import DataError
from delt_exp.quantity import Ranged
from delt_exp.statistics.correlation import (
    correlation,
    detectable_r,
    half_width,
    over_corpora,
    partial_correlation,
    r_and_slope,
)
from delt_exp.statistics.found_relation import Band, CorpusLine, LeftOut, Relation
from delt_exp.statistics.inputs import check_varies
from delt_exp.statistics.mixed import fit_mixed
from delt_exp.statistics.points import Points, resampled_weights, weighted_covariances

_BAND_POINTS = 50


def relate(points: Points, *, alpha: float, resamples: int, seed: int) -> Relation:
    """Return the relation of y with x, seeds of a pair averaged first.

    Raises DataError for fewer than 3 pairs, x or y that does not vary, covariates that do not vary or leave nothing
    of x or y, and seeds that differ between pairs.
    """
    points = points.mean_over_seeds()
    if len(points.x_N) < 3:
        raise DataError(f"{len(points.x_N)} pairs of training corpus and evaluation set; a line needs at least 3")
    check_varies("x", points.x_N)
    check_varies("y", points.y_N)
    weights_BN = resampled_weights(points.train_N, points.evaluation_N, resamples, seed)
    every_N, one_group_N = np.ones(len(points.x_N), np.bool_), np.zeros(len(points.x_N), np.intp)
    # A single training corpus has one pair in each set, which leaves nothing around its mean.
    is_within = len(np.unique(points.train_N)) > 1
    group_N = np.unique(points.evaluation_N, return_inverse=True)[1] if is_within else one_group_N
    fit, partial = linregress(points.x_N, points.y_N), _partial(points, group_N, alpha)
    return Relation(
        line=_corpus_line(points, one_group_N, alpha),
        intercept=float(fit.intercept),
        p=float(fit.pvalue),
        spearman=float(spearmanr(points.x_N, points.y_N).statistic),
        band=_band(points, weights_BN, alpha),
        within=_part(points, every_N, group_N, alpha) if is_within else None,
        within_r=_within_each(points),
        different_domains=_part(points, ~points.same_domain_N, group_N, alpha),
        left_out=_leave_one_out(points, group_N),
        mixed=fit_mixed(points, alpha),
        partial_r=partial[0] if partial else None,
        partial_detectable=partial[1] if partial else None,
        alpha=alpha,
    )


def _corpus_line(points: Points, group_N: NDArray[Any], alpha: float) -> CorpusLine:
    slope = over_corpora(lambda weights_BN: r_and_slope(points, group_N, weights_BN)[1], points, group_N)
    half = half_width(slope, alpha)
    return CorpusLine(
        r=correlation(lambda w_BN: r_and_slope(points, group_N, w_BN)[0], points, group_N, alpha)[0],
        slope=Ranged(slope.value, slope.value - half, slope.value + half),
        num_pairs=len(points.x_N),
        num_train=len(np.unique(points.train_N)),
        num_evaluation=len(np.unique(points.evaluation_N)),
    )


def _part(points: Points, keep_N: NDArray[np.bool_], group_N: NDArray[Any], alpha: float) -> CorpusLine | None:
    """Return the relation in these rows around the means of the groups, None where they define none."""
    enough = keep_N.sum() - len(np.unique(group_N[keep_N])) >= 2
    if not enough or np.isnan(r_and_slope(points, group_N, keep_N[None].astype(np.float64))[0]):
        return None
    return _corpus_line(points.rows(keep_N), group_N[keep_N], alpha)


def _within_each(points: Points) -> dict[str, float]:
    labels, counts = np.unique(points.evaluation_N, return_counts=True)
    labels = labels[counts >= 3]
    inside = (labels[:, None] == points.evaluation_N).astype(np.float64)
    r_B, _ = r_and_slope(points, np.zeros(len(points.x_N)), inside)
    return {str(label): float(r) for label, r in zip(labels, r_B, strict=True) if np.isfinite(r)}


def _leave_one_out(points: Points, group_N: NDArray[Any]) -> tuple[LeftOut, ...]:
    factors = {"training corpus": points.train_N, "evaluation set": points.evaluation_N}
    result = []
    for factor, labels_N in factors.items():
        levels = np.unique(labels_N)
        if len(levels) > 1:
            lines = r_and_slope(points, group_N, (levels[:, None] != labels_N).astype(np.float64))
            rows = zip(levels, *lines, strict=True)
            result += [LeftOut(factor, str(level), float(r), float(slope)) for level, r, slope in rows]
    return tuple(result)


def _partial(points: Points, group_N: NDArray[Any], alpha: float) -> tuple[Ranged, float | None] | None:
    """Return the correlation of x and y, both freed of the covariates, and which one would be detected with 80 % power.

    None without covariates.
    """
    if points.covariates_KN is None:
        return None
    for covariate_N in points.covariates_KN:
        check_varies("covariate", covariate_N)
    columns_CN = np.stack([points.x_N, points.y_N, *points.covariates_KN])
    columns_CN /= columns_CN.std(1, keepdims=True)

    def partial(weights_BN: NDArray[np.float64]) -> NDArray[np.float64]:
        return partial_correlation(weighted_covariances(weights_BN, columns_CN, group_N))

    if not np.isfinite(partial(np.ones((1, columns_CN.shape[1])))[0]):
        raise DataError("the covariates determine x or y completely, so nothing is left to relate; leave them out")
    r, z = correlation(partial, points, group_N, alpha)
    return r, detectable_r(z, alpha)


def _band(points: Points, weights_BN: NDArray[np.float64], alpha: float) -> Band:
    x_G = np.linspace(points.x_N.min(), points.x_N.max(), _BAND_POINTS)
    whole_N = np.ones((1, len(points.x_N)))

    def heights(weights_BN: NDArray[np.float64]) -> NDArray[np.float64]:
        _, slope_B = r_and_slope(points, whole_N[0], weights_BN)
        mean_x_B, mean_y_B = (weights_BN @ column / weights_BN.sum(1) for column in (points.x_N, points.y_N))
        return mean_y_B[:, None] + slope_B[:, None] * (x_G - mean_x_B[:, None])

    levels = [len(np.unique(labels)) for labels in (points.train_N, points.evaluation_N)]
    df = min(count for count in levels if count > 1) - 1
    half_width_G = t.isf(alpha / 2, df) * np.nanstd(heights(weights_BN), axis=0)
    y_G = heights(whole_N)[0]
    return Band(x_G, y_G, y_G - half_width_G, y_G + half_width_G)
