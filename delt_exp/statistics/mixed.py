"""A line with random intercepts for evaluation sets and training corpora, fitted by restricted maximum likelihood.

Shape suffixes: N points, K factors.

y = a + b x + u[evaluation set] + v[training corpus] + e, all normal. The two crossed variances are sought in units of
that of e, from 0 upwards, with a, b and the variance of e profiled out (Bates et al. 2015, J. Stat. Software 67(1),
section 3.4). A variance of exactly 0 is a proper answer here; statsmodels' MixedLM, which this equals elsewhere, then
stops without converging (about half of the simulated fits without an effect of the corpora).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import t

from delt_exp.statistics.points import Points

_FEWEST_LEVELS = 3  # fewer say too little about a variance


@dataclass(frozen=True)
class MixedFit:
    """Slope with its interval, and the standard deviations of the intercepts of each factor and of the rest.

    df: levels of the smallest fitted factor - 1. Simulated coverage of the nominal 95 % interval: 0.94 to 1.00 (the
    usual normal interval: 0.80 to 0.96). converged: whether the optimiser says so; if not, do not use the numbers.
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
    """Return the fit with those factors that have at least 3 levels and fewer levels than points; None if none has."""
    factors = {"evaluation set": points.evaluation_N, "training corpus": points.train_N}
    onehots = {name: (labels[:, None] == np.unique(labels)).astype(float) for name, labels in factors.items()}
    onehots = {name: hot for name, hot in onehots.items() if _FEWEST_LEVELS <= hot.shape[1] < len(hot)}
    if not onehots or len(points.x_N) < 4:
        return None
    scale_x, scale_y = points.x_N.std(), points.y_N.std()
    x_N, y_N = (points.x_N - points.x_N.mean()) / scale_x, (points.y_N - points.y_N.mean()) / scale_y
    shared_KNN = np.stack([hot @ hot.T for hot in onehots.values()])
    best = minimize(
        lambda ratios_K: _profile(x_N, y_N, shared_KNN, ratios_K)[0],
        np.ones(len(onehots)),
        method="L-BFGS-B",
        bounds=[(0, None)] * len(onehots),
    )
    _, slope, stderr, variance = _profile(x_N, y_N, shared_KNN, best.x)
    slope, stderr, sd = slope * scale_y / scale_x, stderr * scale_y / scale_x, np.sqrt(variance) * scale_y
    df = min(hot.shape[1] for hot in onehots.values()) - 1
    half_width = t.isf(alpha / 2, df) * stderr
    return MixedFit(
        slope=float(slope),
        stderr=float(stderr),
        df=df,
        low=float(slope - half_width),
        high=float(slope + half_width),
        p=float(2 * t.sf(abs(slope) / stderr, df)),
        sd_by_factor={name: float(sd * np.sqrt(ratio)) for name, ratio in zip(onehots, best.x, strict=True)},
        sd_rest=float(sd),
        converged=bool(best.success),
    )


def _profile(
    x_N: NDArray[np.float64], y_N: NDArray[np.float64], shared_KNN: NDArray[np.float64], ratios_K: NDArray[np.float64]
) -> tuple[float, float, float, float]:
    """Return minus the restricted log-likelihood (less a constant), slope, its error and the variance of the rest."""
    design_N2 = np.stack([np.ones_like(x_N), x_N], axis=1)
    covariance_NN = np.eye(len(x_N)) + np.tensordot(ratios_K, shared_KNN, 1)
    solved_N3 = np.linalg.solve(covariance_NN, np.column_stack([design_N2, y_N]))
    information_22 = design_N2.T @ solved_N3[:, :2]
    coefficients = np.linalg.solve(information_22, design_N2.T @ solved_N3[:, 2])
    df = len(x_N) - 2
    variance = (y_N - design_N2 @ coefficients) @ (solved_N3 @ np.array([*-coefficients, 1])) / df
    determinants = np.linalg.slogdet(covariance_NN)[1] + np.linalg.slogdet(information_22)[1]
    stderr = np.sqrt(variance * np.linalg.inv(information_22)[1, 1])
    return (determinants + df * np.log(variance)) / 2, coefficients[1], stderr, variance
