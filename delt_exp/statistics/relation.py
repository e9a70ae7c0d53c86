"""Does the alignment of a training corpus with an evaluation set say what the loss there will be?

Shape suffixes: N points (pairs of training corpus and evaluation set), B weightings, G grid.

The primary relation is that within evaluation sets, around the means of each: which corpus is best for this set? Sets
differ in how hard they are, and with a few sets the correlation over all pairs is mostly that of these few means, of
which a bootstrap over sets knows next to nothing: r over all pairs is told without an interval.

Intervals of r are those of t on Fisher's z, of slopes those of t, with the variance V_T of the jackknife over training
corpora (levels - 1 degrees of freedom) and, for at least 5 evaluation sets, V_E - V_TE over sets, at least 0 (V_E holds
the variance V_TE of the pairs, as V_T does), joined as in `paired.py`. With fewer sets, all is about these very sets.
Simulated coverage of r within sets (2000 studies each; weak and strong effects of sets; r 0, -0.7): 13 x 2 0.95 to
0.96, 14 x 7 0.94 to 0.98, there 0.94 to 0.96 where slopes differ between sets; of the slope 0.93 to 0.97.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import linregress, spearmanr, t

from delt_exp.errors import DataError
from delt_exp.quantity import Ranged
from delt_exp.statistics.inputs import check_varies
from delt_exp.statistics.mixed import MixedFit, fit_mixed
from delt_exp.statistics.points import Points, resampled_weights, weighted_covariances

_FEW_CORPORA = 5  # fewer say too little about the variance between them
_LARGEST_R = 1 - 1e-12  # Fisher's z of 1 is infinite
_BAND_POINTS = 50
_ROUNDING = 1e-12  # a variance below this share of the whole is rounding error of a constant


Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""One number for each weighting [B, N] of the points, nan where it is undefined."""


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
    pairs of different domains, without one corpus, and of x given the covariate. different_domains, within, mixed: None
    where the points do not allow it.
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
    def within_mean(self) -> float | None:
        """Mean of `within_r` over evaluation sets; None where there are none."""
        return float(np.mean(list(self.within_r.values()))) if self.within_r else None

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
        turned = [left.corpus for left in self.left_out if not left.r * sign > 0]
        if turned:
            found.append(f"it does not hold without {' or without '.join(turned)}")
        if self.partial_r is not None and not self.partial_r.shows(sign):
            found.append("it adds nothing measurable to the covariate")
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

    Raises DataError for fewer than 3 pairs, x or y that does not vary, a covariate that does not vary or leaves nothing
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
    fit = linregress(points.x_N, points.y_N)
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
        partial_r=_partial(points, group_N, alpha),
        alpha=alpha,
    )


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
    (r,), (slope,) = _lines(points, group_N, np.ones((1, len(points.x_N))))
    over_sets = _over_sets(points, group_N)
    half = _half_width(lambda weights_BN: _lines(points, group_N, weights_BN)[1], points, over_sets, alpha)
    return CorpusLine(
        r=_correlation(lambda w_BN: _lines(points, group_N, w_BN)[0], float(r), points, over_sets, alpha),
        slope=Ranged(float(slope), float(slope) - half, float(slope) + half),
        num_pairs=len(points.x_N),
        num_train=len(np.unique(points.train_N)),
        num_evaluation=len(np.unique(points.evaluation_N)),
    )


def _over_sets(points: Points, group_N: NDArray[Any]) -> bool:
    """Whether an interval is also over evaluation sets: where they are many, or their means count."""
    return len(np.unique(points.evaluation_N)) >= _FEW_CORPORA or len(np.unique(group_N)) == 1


def _correlation(correlation: Statistic, r: float, points: Points, over_sets: bool, alpha: float) -> Ranged:
    """Return r with its interval, computed on Fisher's z, where its error is nearly normal."""

    def z(weights_BN: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.arctanh(np.clip(correlation(weights_BN), -_LARGEST_R, _LARGEST_R))

    centre, half = np.arctanh(np.clip(r, -_LARGEST_R, _LARGEST_R)), _half_width(z, points, over_sets, alpha)
    return Ranged(r, float(np.tanh(centre - half)), float(np.tanh(centre + half)))


def _half_width(statistic: Statistic, points: Points, over_sets: bool, alpha: float) -> float:
    """Return the half width of the interval, as the head of this file derives it.

    Infinite where leaving out a corpus leaves nothing to compute the statistic from.
    """
    left_T, left_E = (labels_N != np.unique(labels_N)[:, None] for labels_N in (points.train_N, points.evaluation_N))
    squared, pairs = 0.0, 0.0
    if len(left_T) > 1:
        squared = _jackknife_variance(statistic(left_T.astype(float)), 0) * t.isf(alpha / 2, len(left_T) - 1) ** 2
    if over_sets and len(left_E) > 1:
        if len(left_T) > 1:
            both = (left_T[:, None] & left_E).reshape(-1, left_E.shape[1]).astype(float)
            left_TE = statistic(both).reshape(len(left_T), len(left_E))
            pairs = _jackknife_variance(left_TE - left_TE.mean(0), 1)
        excess = _jackknife_variance(statistic(left_E.astype(float)), 0) - pairs
        squared += np.maximum(excess, 0.0) * t.isf(alpha / 2, len(left_E) - 1) ** 2
    return float("inf") if np.isnan(squared) else float(np.sqrt(squared))


def _jackknife_variance(left_out: NDArray[np.float64], axis: int) -> float:
    """Return (n - 1) / n times the sum of squares around the mean along `axis`, and so for other axes around 0."""
    factor = np.prod([(size - 1) / size for size in left_out.shape])
    return float(factor * np.square(left_out - left_out.mean(axis, keepdims=True)).sum())


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


def _partial(points: Points, group_N: NDArray[Any], alpha: float) -> Ranged | None:
    """Return the correlation of x and y, both freed of the covariate; None without a covariate."""
    if points.covariate_N is None:
        return None
    check_varies("covariate", points.covariate_N)
    columns_CN = np.stack([points.x_N, points.y_N, points.covariate_N])
    columns_CN /= columns_CN.std(1, keepdims=True)

    def partial(weights_BN: NDArray[np.float64]) -> NDArray[np.float64]:
        return _partial_correlation(weighted_covariances(weights_BN, columns_CN, group_N))

    r = float(partial(np.ones((1, columns_CN.shape[1])))[0])
    if not np.isfinite(r):
        raise DataError("the covariate determines x or y completely, so nothing is left to relate; leave it out")
    return _correlation(partial, r, points, _over_sets(points, group_N), alpha)


def _partial_correlation(covariance_BCC: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return r [B] of x and y given z from the covariances of (x, y, z); nan where z determines x or y.

    What z leaves of the covariance of two columns is c_ij - c_iz c_jz / c_zz; times c_zz, which cancels in r, nothing
    is divided by a variance that may be 0.
    """
    (xx, xy, xz), (_, yy, yz), (_, _, zz) = covariance_BCC.transpose(1, 2, 0)
    rest_xy, rest_xx, rest_yy = xy * zz - xz * yz, xx * zz - xz * xz, yy * zz - yz * yz
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
