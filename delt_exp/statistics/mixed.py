"""A line with intercepts for evaluation sets and training corpora, fitted by restricted maximum likelihood.

Shape suffixes: N points, K random factors, P columns of the design (1, x, and the levels of fixed factors).

y = a + b x + u[evaluation set] + v[training corpus] + e. A factor of at least 5 levels is random, its intercepts and e
normal. Fewer levels say too little about a variance: with 3 degrees of freedom the t quantile is 3.2, and intervals of
8 x 4 studies become 1.25 times, of 13 x 2 studies 5 times as wide as with fixed intercepts at the same coverage. So
such a factor is fixed: it has a column for each level, and the slope is about these very levels.

The variances of random factors are sought in units of that of e, from 0 upwards, with all else profiled out (Bates et
al. 2015, J. Stat. Software 67(1), section 3.4). A variance of exactly 0 is a proper answer here; statsmodels' MixedLM,
which this equals elsewhere, then stops without converging (about half of the simulated fits without an effect of the
corpora).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import t

from delt_exp.statistics.points import Points

_FEWEST_RANDOM_LEVELS = 5


@dataclass(frozen=True)
class MixedFit:
    """Slope with its interval, and the standard deviations of the intercepts of each random factor and of the rest.

    df: levels of the smallest random factor - 1; without one, those of the rest. Simulated coverage of the nominal
    95 % interval (13 x 2, 8 x 4, 14 x 7; weak and strong effects of sets): 0.93 to 0.99. converged: whether the
    optimiser says so; if not, do not use the numbers.
    """

    slope: float
    stderr: float
    df: int
    low: float
    high: float
    p: float
    sd_by_factor: dict[str, float]
    sd_rest: float
    converged: bool


def fit_mixed(points: Points, alpha: float) -> MixedFit | None:
    """Return the fit with the factors of more than one level and fewer levels than points.

    None if there is no such factor, or if fixed factors leave nothing of x or no degree of freedom.
    """
    factors = {"evaluation set": points.evaluation_N, "training corpus": points.train_N}
    onehots = {name: (labels[:, None] == np.unique(labels)).astype(float) for name, labels in factors.items()}
    onehots = {name: hot for name, hot in onehots.items() if 1 < hot.shape[1] < len(hot)}
    random = {name: hot for name, hot in onehots.items() if hot.shape[1] >= _FEWEST_RANDOM_LEVELS}
    fixed = [hot[:, 1:] for name, hot in onehots.items() if name not in random]
    scale_x, scale_y = points.x_N.std(), points.y_N.std()
    x_N, y_N = (points.x_N - points.x_N.mean()) / scale_x, (points.y_N - points.y_N.mean()) / scale_y
    design_NP = np.column_stack([np.ones_like(x_N), x_N, *fixed])
    rest_df = len(x_N) - design_NP.shape[1]
    if not onehots or rest_df < 1 or np.linalg.matrix_rank(design_NP) < design_NP.shape[1]:
        return None
    shared_KNN = np.array([hot @ hot.T for hot in random.values()]).reshape(-1, len(x_N), len(x_N))
    ratios_K, converged = np.zeros(0), True
    if random:
        start_K, bounds = np.ones(len(random)), [(0, None)] * len(random)
        best = minimize(lambda r_K: _profile(design_NP, y_N, shared_KNN, r_K)[0], start_K, bounds=bounds)
        ratios_K, converged = best.x, bool(best.success)
    _, slope, stderr, variance = _profile(design_NP, y_N, shared_KNN, ratios_K)
    slope, stderr, sd = slope * scale_y / scale_x, stderr * scale_y / scale_x, np.sqrt(variance) * scale_y
    df = min((hot.shape[1] - 1 for hot in random.values()), default=rest_df)
    half_width = t.isf(alpha / 2, df) * stderr
    return MixedFit(
        slope=float(slope),
        stderr=float(stderr),
        df=df,
        low=float(slope - half_width),
        high=float(slope + half_width),
        p=float(2 * t.sf(abs(slope) / stderr, df)),
        sd_by_factor={name: float(sd * np.sqrt(ratio)) for name, ratio in zip(random, ratios_K, strict=True)},
        sd_rest=float(sd),
        converged=converged,
    )


def _profile(
    design_NP: NDArray[np.float64],
    y_N: NDArray[np.float64],
    shared_KNN: NDArray[np.float64],
    ratios_K: NDArray[np.float64],
) -> tuple[float, float, float, float]:
    """Return minus the restricted log-likelihood (less a constant), slope, its error and the variance of the rest."""
    covariance_NN = np.eye(len(y_N)) + np.tensordot(ratios_K, shared_KNN, 1)
    solved = np.linalg.solve(covariance_NN, np.column_stack([design_NP, y_N]))
    information_PP = design_NP.T @ solved[:, :-1]
    coefficients_P = np.linalg.solve(information_PP, design_NP.T @ solved[:, -1])
    df = len(y_N) - design_NP.shape[1]
    variance = (y_N - design_NP @ coefficients_P) @ (solved[:, -1] - solved[:, :-1] @ coefficients_P) / df
    determinants = np.linalg.slogdet(covariance_NN)[1] + np.linalg.slogdet(information_PP)[1]
    stderr = np.sqrt(variance * np.linalg.inv(information_PP)[1, 1])
    return (determinants + df * np.log(variance)) / 2, coefficients_P[1], stderr, variance
