"""Moderated variances over few seeds: each is shrunk towards those of its family of comparisons. M comparisons.

The variance of five differences has four degrees of freedom; at the level that Holm's correction over 264 comparisons
demands, the quantile of t is then 13. But the comparisons of a study are alike, so their variances can be taken as
draws from one distribution,

    1 / sigma2 ~ chi2(d) / (d s2),   s2_m given sigma2_m ~ sigma2_m chi2(f_m) / f_m,

and the best estimate is (d s2 + f_m s2_m) / (d + f_m), with d + f_m degrees of freedom (Smyth 2004, equations 1 to 5).
d and s2 come from mean and variance of log s2_m (its section 6.2).

Deviation: only half of d is used, because variances of real arms do not follow that distribution. In simulated maps in
which one arm in ten is four times as noisy as the others, the whole of d made a false claim in 9 % of studies (18 %
with three seeds), half of it in 1 %. With noise between 0.02 and 0.1 nats and five seeds, moderation detects 49 % of
effects of 0.1 to 0.9 nats where t-tests detect 35 %, and 95 % of the intervals hold the truth. Comparisons of many arms
with one are not independent: their common baseline is in all of these simulations (`python -m benchmarks.map_power`).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from delt_exp.statistics.paired import Estimate

FEWEST = 10  # comparisons that tell how variances are distributed
MOST_DF = 1000.0  # of the distribution, where all variances are equal: t is normal there


def moderated(estimates: Sequence[Estimate]) -> list[Estimate]:
    """Return the estimates with moderated variances over seeds; those over documents stay.

    Estimates over one seed and those that did not vary stay as they are; so do all where fewer than FEWEST are left.
    """
    chosen = [one for one in estimates if "seeds" in one.over and one.variances[0] > 0]
    if len(chosen) < FEWEST:
        return list(estimates)
    df_M = np.array([one.dfs[0] for one in chosen])
    d, scale = prior(np.array([one.variances[0] * (one.dfs[0] + 1) for one in chosen]), df_M)
    kept = set(map(id, chosen))
    return [_moderated(one, d / 2, scale) if id(one) in kept else one for one in estimates]


def _moderated(one: Estimate, d: float, scale: float) -> Estimate:
    df, num_seeds = one.dfs[0], one.dfs[0] + 1
    variance = (d * scale + df * one.variances[0] * num_seeds) / (d + df)
    return replace(one, variances=(variance / num_seeds, *one.variances[1:]), dfs=(d + df, *one.dfs[1:]))


def prior(variance_M: NDArray[np.float64], df_M: NDArray[np.float64]) -> tuple[float, float]:
    """Return the degrees of freedom d, at most MOST_DF, and the scale s2 of the distribution of variances."""
    from scipy.special import digamma, polygamma

    centred_M = np.log(variance_M) - digamma(df_M / 2) + np.log(df_M / 2)
    mean = float(centred_M.mean())
    excess = float(centred_M.var(ddof=1) - polygamma(1, df_M / 2).mean())
    d = min(2 * _trigamma_inverse(excess), MOST_DF) if excess > 0 else MOST_DF
    return d, float(np.exp(mean + digamma(d / 2) - np.log(d / 2)))


def _trigamma_inverse(value: float) -> float:
    from scipy.optimize import brentq
    from scipy.special import polygamma

    low, high = 1e-8, 1 / value + 1  # trigamma(x) < 1 / x + 1 / x^2, and above 1 / x
    return float(brentq(lambda x: polygamma(1, x) - value, low, max(high, 1.0) + 1))
