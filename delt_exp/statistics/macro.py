"""The mean over several tasks of differences that were each measured on items of their own.

Shape suffixes: T tasks, S seeds, N items.

Tasks are fixed: they are the ones asked about, not draws from many. Items of two tasks are independent, as strata are;
a seed is one training run, so its effect reaches all tasks at once. With weights a_t of sum 1 and m_s = sum_t a_t m_ts
the mean of a seed, the variance of the mean over seeds is

    V = V_S + V_N,   V_S = var(m_s) / S,   V_N = sum_t a_t^2 V_N,t

as in `delt_exp.statistics.paired`: V_S, the variance between the means of seeds, holds what items and seeds have
together. V_N has Satterthwaite's degrees of freedom, V_N^2 / sum_t (a_t^2 V_N,t)^2 / df_t (Cochran 1977, section 5.4):
many tasks of few items are many items.

Items of their own for each seed (nested) leave V_S alone, which then holds the variance between items too (Cochran
1977, section 10.3).

In 2,000 to 10,000 simulated studies, 95 % intervals held the truth in 0.95 to 0.97 where two accuracies on 30 to 1,000
items differ in 9 to 200 answers (0.976 for 10 of 100, the most seen), in 0.947 to 0.96 for means over 3 to 57 such
tasks, and over 5 seeds in 0.955 to 0.97. Over 2 or 3 seeds it was 0.96 where seeds matter, 0.98 to 0.99 where they do
not: cautious, as `paired` explains.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import DataError
from delt_exp.statistics.paired import Estimate, ratio_estimate

LEAST_DF = 1.0


@dataclass(frozen=True, eq=False)
class TaskDifference:
    """A difference on one task: its estimate, and its mean in each seed."""

    estimate: Estimate
    means_S: NDArray[np.float64]


def crossed_difference(sums_SN: NDArray[np.float64], sizes_N: NDArray[np.float64]) -> TaskDifference:
    """Return the mean difference per unit of size where every seed has the same items, of which there are at least 2.

    sums_SN: differences, summed over an item. sizes_N: tokens, words, or the number of answers that an item stands for.
    Items of one size carry no doubt about length. Where one item alone makes up the difference, it leaves less than one
    degree of freedom, of which 1 is taken: an accuracy that differs in one answer has p = 0.5 and 0 in its interval.
    """
    if np.count_nonzero(sizes_N) < 2:
        raise DataError(f"an error needs at least 2 items, and there are {np.count_nonzero(sizes_N)}; compare on more")
    estimate = ratio_estimate(sums_SN, sizes_N)
    few = estimate.few_documents and bool((sizes_N != sizes_N[0]).any())
    dfs = tuple(max(df, LEAST_DF) for df in estimate.dfs)
    return TaskDifference(replace(estimate, dfs=dfs, few_documents=few), sums_SN.sum(1) / sizes_N.sum())


def nested_difference(means_S: NDArray[np.float64]) -> TaskDifference:
    """Return the mean of the differences of seeds, at least 2, that each have items of their own."""
    count, spread = len(means_S), float(means_S.std(ddof=1))
    estimate = Estimate(float(means_S.mean()), (spread**2 / count,), (count - 1,), spread, "seeds and documents")
    return TaskDifference(estimate, means_S)


def macro_mean(tasks: Sequence[TaskDifference], weights_T: NDArray[np.float64]) -> Estimate:
    """Return the weighted mean over tasks of the same seeds; the weights sum to 1.

    spread: standard deviation of that mean over one seed and one item of each task.
    """
    means_S = weights_T @ np.stack([task.means_S for task in tasks])
    estimates, num_seeds = [task.estimate for task in tasks], len(means_S)
    parts = [
        (a**2 * one.variances[-1], one.dfs[-1])
        for a, one in zip(weights_T, estimates, strict=True)
        if num_seeds == 1 or len(one.variances) > 1
    ]
    item_variance, item_df = _sum_of_variances(parts)
    spread = math.sqrt(sum((a * one.spread) ** 2 for a, one in zip(weights_T, estimates, strict=True)))
    few = any(one.few_documents for one in estimates)
    if num_seeds == 1:
        return Estimate(float(means_S[0]), (item_variance,), (item_df,), spread, "documents", few)
    seed_variance = float(means_S.var(ddof=1)) / num_seeds
    variances, dfs = (seed_variance, item_variance), (num_seeds - 1, item_df)
    return Estimate(float(means_S.mean()), variances, dfs, spread, "seeds and documents", few)


def _sum_of_variances(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the sum and its degrees of freedom; of variances that are all 0, those of the smallest."""
    total = math.fsum(variance for variance, _ in parts)
    squares = math.fsum(variance**2 / df for variance, df in parts)
    return total, total**2 / squares if squares > 0 else min((df for _, df in parts), default=LEAST_DF)
