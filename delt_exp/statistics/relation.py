"""Does the alignment of a training corpus with an evaluation set say what the loss there will be?

Shape suffixes: N points (pairs of training corpus and evaluation set), B resamples, G grid.

Intervals are percentiles over resamples of corpora (`points.py`). Simulated coverage of the nominal 95 % (400 to 600
studies each, 2 x 8 to 10 x 10 corpora, with and without effects of corpora): r 0.90 to 0.99, slope 0.93 to 1.00, r
within evaluation sets 0.89 to 1.00, partial r 0.87 to 1.00; 7 corpora on a single evaluation set: r 0.88 to 0.91. An
interval that takes the pairs for independent (Fisher's z) covered r in 0.41 to 0.92.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import linregress, spearmanr, t

from delt_exp.errors import DataError
from delt_exp.statistics.inputs import check_varies
from delt_exp.statistics.mixed import MixedFit, fit_mixed
from delt_exp.statistics.points import Interval, Points, resampled_weights, weighted_covariances

_FEW_CORPORA = 5  # below, corpora have at most 35 different resamples, too few for tails of 2.5 %
_BAND_POINTS = 50
_ROUNDING = 1e-12  # a variance below this share of the whole is rounding error of a constant


@dataclass(frozen=True)
class CorpusLine:
    """Correlation and slope of y on x, with intervals over corpora."""

    r: float
    slope: float
    r_interval: Interval
    slope_interval: Interval
    num_pairs: int
    num_train: int
    num_evaluation: int

    def __str__(self) -> str:
        return f"r = {self.r:.2f} [{self.r_interval.low:.2f}, {self.r_interval.high:.2f}], {self.num_pairs} pairs"


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

    p: of r, taking the pairs for independent, which they are not: for comparison with papers, not for claims.
    within: after taking out the mean of each evaluation set; within_r: in each set of at least 3 training corpora.
    different_domains, within, mixed: None where the points do not allow it. partial_r: of x given the covariate.
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
    partial_r: float | None
    partial_interval: Interval | None
    alpha: float

    @property
    def r2(self) -> float:
        """Share of the variance of y that the line explains."""
        return self.line.r**2

    @property
    def within_mean(self) -> float | None:
        """Mean of `within_r` over evaluation sets; None where there are none."""
        return float(np.mean(list(self.within_r.values()))) if self.within_r else None

    @property
    def caveats(self) -> list[str]:
        """What keeps the relation from being a finding; empty where nothing does."""
        line, sign, found = self.line, np.sign(self.line.r), []
        if not line.r_interval.shows(sign):
            found.append("no relation is shown, for the interval contains 0")
        for count, what in ((line.num_train, "training corpora"), (line.num_evaluation, "evaluation sets")):
            if count < _FEW_CORPORA:
                found.append(f"the evidence is weak ({what}: {count})")
        parts = {"between different domains": self.different_domains, "within evaluation sets": self.within}
        for where, part in parts.items():
            if part is None or not part.r_interval.shows(sign):
                found.append(f"it is not shown {where} ({part or 'too few pairs'})")
        turned = [left.corpus for left in self.left_out if not left.r * sign > 0]
        if turned:
            found.append(f"it does not hold without {' or without '.join(turned)}")
        if self.partial_interval is not None and not self.partial_interval.shows(sign):
            found.append("it is not shown beyond the covariate")
        return found

    @property
    def sentence(self) -> str:
        """r with its interval and what it rests on, then the caveats."""
        line, low, high = self.line, self.line.r_interval.low, self.line.r_interval.high
        held = "it holds between different domains, within evaluation sets and without any one corpus"
        return (
            f"r = {line.r:.2f}, {100 * (1 - self.alpha):g} % interval over corpora [{low:.2f}, {high:.2f}] "
            f"(training corpora: {line.num_train}, evaluation sets: {line.num_evaluation}, pairs: {line.num_pairs}): "
            f"{'; '.join(self.caveats) or held}."
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
    every_N, one_group_N = np.ones(len(points.x_N), np.bool_), np.zeros(len(points.x_N))
    fit = linregress(points.x_N, points.y_N)
    partial_r, partial_interval = _partial(points, weights_BN, alpha)
    return Relation(
        line=_corpus_line(points, one_group_N, weights_BN, alpha),
        intercept=float(fit.intercept),
        p=float(fit.pvalue),
        spearman=float(spearmanr(points.x_N, points.y_N).statistic),
        band=_band(points, weights_BN, alpha),
        within=_part(points, every_N, points.evaluation_N, weights_BN, alpha),
        within_r=_within_each(points),
        different_domains=_part(points, ~points.same_domain_N, one_group_N, weights_BN, alpha),
        left_out=_leave_one_out(points),
        mixed=fit_mixed(points, alpha),
        partial_r=partial_r,
        partial_interval=partial_interval,
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


def _corpus_line(points: Points, group_N: NDArray[Any], weights_BN: NDArray[np.float64], alpha: float) -> CorpusLine:
    (r,), (slope,) = _lines(points, group_N, np.ones((1, len(points.x_N))))
    r_B, slope_B = _lines(points, group_N, weights_BN)
    return CorpusLine(
        r=float(r),
        slope=float(slope),
        r_interval=Interval.of(r_B, alpha, -1, 1),
        slope_interval=Interval.of(slope_B, alpha, -np.inf, np.inf),
        num_pairs=len(points.x_N),
        num_train=len(np.unique(points.train_N)),
        num_evaluation=len(np.unique(points.evaluation_N)),
    )


def _part(
    points: Points, keep_N: NDArray[np.bool_], group_N: NDArray[Any], weights_BN: NDArray[np.float64], alpha: float
) -> CorpusLine | None:
    """Return the relation in these rows around the means of the groups, None where they define none."""
    enough = keep_N.sum() - len(np.unique(group_N[keep_N])) >= 2
    if not enough or np.isnan(_lines(points, group_N, keep_N[None].astype(np.float64))[0]):
        return None
    return _corpus_line(points.rows(keep_N), group_N[keep_N], weights_BN[:, keep_N], alpha)


def _within_each(points: Points) -> dict[str, float]:
    labels, counts = np.unique(points.evaluation_N, return_counts=True)
    labels = labels[counts >= 3]
    inside = (labels[:, None] == points.evaluation_N).astype(np.float64)
    r_B, _ = _lines(points, np.zeros(len(points.x_N)), inside)
    return {str(label): float(r) for label, r in zip(labels, r_B, strict=True) if np.isfinite(r)}


def _leave_one_out(points: Points) -> tuple[LeftOut, ...]:
    factors = {"training corpus": points.train_N, "evaluation set": points.evaluation_N}
    result = []
    for factor, labels_N in factors.items():
        levels = np.unique(labels_N)
        if len(levels) > 1:
            lines = _lines(points, np.zeros(len(labels_N)), (levels[:, None] != labels_N).astype(np.float64))
            rows = zip(levels, *lines, strict=True)
            result += [LeftOut(factor, str(level), float(r), float(slope)) for level, r, slope in rows]
    return tuple(result)


def _partial(
    points: Points, weights_BN: NDArray[np.float64], alpha: float
) -> tuple[float, Interval] | tuple[None, None]:
    """Return the correlation of x and y, both freed of the covariate, with its interval over corpora."""
    if points.covariate_N is None:
        return None, None
    check_varies("covariate", points.covariate_N)
    columns_CN = np.stack([points.x_N, points.y_N, points.covariate_N])
    columns_CN /= columns_CN.std(1, keepdims=True)

    def partial(weights_BN: NDArray[np.float64]) -> NDArray[np.float64]:
        v = weighted_covariances(weights_BN, columns_CN, np.zeros(columns_CN.shape[1]))
        xy_B, xx_B, yy_B = (v[:, i, j] * v[:, 2, 2] - v[:, i, 2] * v[:, j, 2] for i, j in ((0, 1), (0, 0), (1, 1)))
        left_B = (xx_B > _ROUNDING) & (yy_B > _ROUNDING)
        return np.clip(xy_B / np.sqrt(np.where(left_B, xx_B * yy_B, np.nan)), -1, 1)

    r = float(partial(np.ones((1, columns_CN.shape[1])))[0])
    if not np.isfinite(r):
        raise DataError("the covariate determines x or y completely, so nothing is left to relate; leave it out")
    return r, Interval.of(partial(weights_BN), alpha, -1, 1)


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
