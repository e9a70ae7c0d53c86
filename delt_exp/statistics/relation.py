"""Does the alignment of a training corpus with an evaluation set say what the loss there will be?

Shape suffixes: N points (pairs of training corpus and evaluation set), B weightings, G grid.

The primary relation is that within evaluation sets, around the means of each: which corpus is best for this set? Sets
differ in how hard they are, and with a few sets the correlation over all pairs is mostly that of these few means, about
which a bootstrap over sets says next to nothing: r over all pairs is reported without an interval.

Intervals of r are those of t on Fisher's z, of slopes those of t, with the variance V_T of the jackknife over training
corpora (levels - 1 degrees of freedom) and, for at least 5 evaluation sets, V_E - V_TE over sets, at least 0 (V_E holds
the variance V_TE of the pairs, as V_T does), joined as in `paired.py`. With fewer sets, all is about these very sets.
Simulated coverage of r within sets (2000 studies each; weak and strong effects of sets; r 0, -0.7): 13 x 2 0.95 to
0.96, 14 x 7 0.94 to 0.98, there 0.94 to 0.96 where slopes differ between sets; of the slope 0.93 to 0.97.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import linregress, spearmanr, t

from delt_exp.errors import DataError
from delt_exp.quantity import Ranged
from delt_exp.statistics.inputs import check_varies
from delt_exp.statistics.jackknife import Statistic, crossed_estimate
from delt_exp.statistics.mixed import MixedFit, fit_mixed
from delt_exp.statistics.paired import Estimate
from delt_exp.statistics.points import Points, resampled_weights, weighted_covariances

_FEW_CORPORA = 5  # fewer say too little about the variance between them
_LARGEST_R = 1 - 1e-12  # Fisher's z of 1 is infinite
_BAND_POINTS = 50
_ROUNDING = 1e-12  # a variance below this share of the whole is rounding error of a constant


@dataclass(frozen=True)
class CorpusLine:
    """Correlation and slope of y on x, with intervals over corpora."""

    r: Ranged
    slope: Ranged
    num_pairs: int
    num_train: int
    num_evaluation: int

    def __str__(self) -> str:
        return f"r = {self.r.value:.2f} [{self.r.low:.2f}, {self.r.high:.2f}], {self.num_pairs} pairs"


@dataclass(frozen=True)
class LeftOut:
    """The relation without one corpus; nan where what remains defines none."""

    factor: str  # "training corpus" or "evaluation set"
    corpus: str
    r: float
    slope: float


@dataclass(frozen=True, eq=False)
class Band:
    """The regression line on a grid over the range of x, with its pointwise interval over corpora.

    Half width: t (levels of the smaller factor - 1) times the standard deviation over resamples; it covered 0.93 to
    1.00 of the nominal 0.95, percentiles of the heights 0.73 to 1.00.
    """

    x_G: NDArray[np.float64]
    y_G: NDArray[np.float64]
    low_G: NDArray[np.float64]
    high_G: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Relation:
    """All that is known of y against x; `sentence` says what the data support.

    line: over all pairs, to describe them; within: after taking out the mean of each evaluation set. primary: what is
    claimed, `within` where there are at least 2 training corpora, else `line`.
    p: of r of `line`, taking the pairs for independent, which they are not: for comparison with papers, not for claims.
    within_r: in each set of at least 3 training corpora. different_domains, left_out, partial_r: as the primary, of
    pairs of different domains, without one corpus, and of x given the covariates. partial_detectable: the partial |r|
    that a study of this error finds with power 0.8. different_domains, within, mixed, partial_detectable: None where
    the points do not allow it.
    """

    line: CorpusLine
    intercept: float
    p: float
    spearman: float
    band: Band
    within: CorpusLine | None
    within_r: dict[str, float]
    different_domains: CorpusLine | None
    left_out: tuple[LeftOut, ...]
    mixed: MixedFit | None
    partial_r: Ranged | None
    partial_detectable: float | None
    alpha: float

    @property
    def primary(self) -> CorpusLine:
        """The relation that is claimed."""
        return self.within or self.line

    @property
    def r2(self) -> float:
        """Share of the variance of y, within evaluation sets, that x explains."""
        return self.primary.r.value**2

    @property
    def caveats(self) -> list[str]:
        """What keeps the relation from being a finding; empty where nothing does."""
        line, sign, found = self.primary, np.sign(self.primary.r.value), []
        if not line.r.shows(sign):
            found.append("no relation is shown, because the interval contains 0")
        for count, what in ((line.num_train, "training corpora"), (line.num_evaluation, "evaluation sets")):
            if count < _FEW_CORPORA:
                found.append(f"the evidence is weak ({what}: {count})")
        if self.within is None:
            found.append("it is not shown within evaluation sets (too few pairs)")
        apart = self.different_domains
        if apart is None or not apart.r.shows(sign):
            found.append(f"it is not shown between different domains ({apart or 'too few pairs'})")
        turned = [left.corpus for left in self.left_out if left.r * sign <= 0]
        if turned:
            found.append(f"it does not hold without {' or without '.join(turned)}")
        unknown = [left.corpus for left in self.left_out if np.isnan(left.r)]
        if unknown:
            found.append(f"too little is left without {' or without '.join(unknown)} to say whether it holds")
        if self.partial_r is not None and not self.partial_r.shows(sign):
            found.append("it adds nothing measurable to the covariates")
        return found

    @property
    def sentence(self) -> str:
        """r with its interval and what it rests on, then the caveats."""
        line, r = self.primary, self.primary.r
        held = "it holds between different domains and without any one corpus"
        where = "" if self.within is None else " within evaluation sets"
        these = self.within is not None and line.num_evaluation < _FEW_CORPORA
        over = "training corpora, for these evaluation sets only" if these else "corpora"
        return (
            f"r = {r.value:.2f}{where}, {100 * (1 - self.alpha):g} % interval over {over} [{r.low:.2f}, {r.high:.2f}] "
            f"(training corpora: {line.num_train}, evaluation sets: {line.num_evaluation}, pairs: {line.num_pairs}; "
            f"over all pairs r = {self.line.r.value:.2f}): {'; '.join(self.caveats) or held}."
        )


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
        one_B, other_B = (fisher_z(_lines(points, group_N, weights_BN)[0]) for points in (first, second))
        return one_B - other_B

    found = _over_corpora(difference, first, group_N)
    return found if np.isfinite([found.value, *found.variances]).all() else None


def _lines(
    points: Points, group_N: NDArray[Any], weights_BN: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return r and slope [B] around the means of the groups; nan where x or y does not vary."""
    covariance_BCC = weighted_covariances(weights_BN, np.stack([points.x_N, points.y_N]), group_N)
    xx_B, xy_B, yy_B = covariance_BCC[:, 0, 0], covariance_BCC[:, 0, 1], covariance_BCC[:, 1, 1]
    varies_B = (xx_B > _ROUNDING * points.x_N.var()) & (yy_B > _ROUNDING * points.y_N.var())
    xx_B, yy_B = np.where(varies_B, xx_B, np.nan), np.where(varies_B, yy_B, np.nan)
    return np.clip(xy_B / np.sqrt(xx_B * yy_B), -1, 1), xy_B / xx_B  # rounding may pass 1


def _corpus_line(points: Points, group_N: NDArray[Any], alpha: float) -> CorpusLine:
    slope = _over_corpora(lambda weights_BN: _lines(points, group_N, weights_BN)[1], points, group_N)
    half = half_width(slope, alpha)
    return CorpusLine(
        r=_correlation(lambda w_BN: _lines(points, group_N, w_BN)[0], points, group_N, alpha)[0],
        slope=Ranged(slope.value, slope.value - half, slope.value + half),
        num_pairs=len(points.x_N),
        num_train=len(np.unique(points.train_N)),
        num_evaluation=len(np.unique(points.evaluation_N)),
    )


def _over_corpora(statistic: Statistic, points: Points, group_N: NDArray[Any]) -> Estimate:
    """Return a statistic with its variance, also over evaluation sets where they are many, or their means count."""
    over_sets = len(np.unique(points.evaluation_N)) >= _FEW_CORPORA or len(np.unique(group_N)) == 1
    return crossed_estimate(statistic, points.train_N, points.evaluation_N, over_second=over_sets)


def _correlation(
    correlation: Statistic, points: Points, group_N: NDArray[Any], alpha: float
) -> tuple[Ranged, Estimate]:  # fmt: skip
    """Return r with its interval, and Fisher's z, on which that is computed: its error is nearly normal."""
    (r,) = correlation(np.ones((1, len(points.x_N))))
    z = _over_corpora(lambda weights_BN: fisher_z(correlation(weights_BN)), points, group_N)
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


def _part(points: Points, keep_N: NDArray[np.bool_], group_N: NDArray[Any], alpha: float) -> CorpusLine | None:
    """Return the relation in these rows around the means of the groups, None where they define none."""
    enough = keep_N.sum() - len(np.unique(group_N[keep_N])) >= 2
    if not enough or np.isnan(_lines(points, group_N, keep_N[None].astype(np.float64))[0]):
        return None
    return _corpus_line(points.rows(keep_N), group_N[keep_N], alpha)


def _within_each(points: Points) -> dict[str, float]:
    labels, counts = np.unique(points.evaluation_N, return_counts=True)
    labels = labels[counts >= 3]
    inside = (labels[:, None] == points.evaluation_N).astype(np.float64)
    r_B, _ = _lines(points, np.zeros(len(points.x_N)), inside)
    return {str(label): float(r) for label, r in zip(labels, r_B, strict=True) if np.isfinite(r)}


def _leave_one_out(points: Points, group_N: NDArray[Any]) -> tuple[LeftOut, ...]:
    factors = {"training corpus": points.train_N, "evaluation set": points.evaluation_N}
    result = []
    for factor, labels_N in factors.items():
        levels = np.unique(labels_N)
        if len(levels) > 1:
            lines = _lines(points, group_N, (levels[:, None] != labels_N).astype(np.float64))
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
    r, z = _correlation(partial, points, group_N, alpha)
    return r, detectable_r(z, alpha)


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


def _band(points: Points, weights_BN: NDArray[np.float64], alpha: float) -> Band:
    x_G = np.linspace(points.x_N.min(), points.x_N.max(), _BAND_POINTS)
    whole_N = np.ones((1, len(points.x_N)))

    def heights(weights_BN: NDArray[np.float64]) -> NDArray[np.float64]:
        _, slope_B = _lines(points, whole_N[0], weights_BN)
        mean_x_B, mean_y_B = (weights_BN @ column / weights_BN.sum(1) for column in (points.x_N, points.y_N))
        return mean_y_B[:, None] + slope_B[:, None] * (x_G - mean_x_B[:, None])

    levels = [len(np.unique(labels)) for labels in (points.train_N, points.evaluation_N)]
    df = min(count for count in levels if count > 1) - 1
    half_width_G = t.isf(alpha / 2, df) * np.nanstd(heights(weights_BN), axis=0)
    y_G = heights(whole_N)[0]
    return Band(x_G, y_G, y_G - half_width_G, y_G + half_width_G)
