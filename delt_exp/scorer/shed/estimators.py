"""Values of clusters from the worth of sets of them. C clusters, M sets, K iterations, S steps of an order.

All estimators give one number per cluster whose sum, but for `halves`, is v(all) - v(none) on average.
"""

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from delt_exp.scorer.utility.game import Floats, Game, Sequential

PENALTIES = np.logspace(-3, 4, 15)  # of the ridge, times the number of clusters


@dataclass(frozen=True, eq=False)
class Estimate:
    """values [C], higher is better. errors: their standard errors [C], NaN where a single iteration tells none.

    truncated: the share of evaluations that were left out.
    """

    values: Floats
    errors: Floats
    truncated: float = 0.0

    @classmethod
    def over(cls, values_KC: Floats, truncated: float = 0.0) -> "Estimate":
        """Return the mean over iterations."""
        num, count = values_KC.shape
        errors_C = values_KC.std(0, ddof=1) / np.sqrt(num) if num > 1 else np.full(count, np.nan)
        return cls(np.asarray(values_KC.mean(0)), errors_C, truncated)


def exact(game: Game) -> Floats:
    """Return the Shapley values [C] from all 2^C sets."""
    count = game.num_clusters
    sets_MC = ((np.arange(2**count)[:, None] >> np.arange(count)) & 1).astype(np.bool_)
    worth_M, sizes_M = game(sets_MC), sets_MC.sum(1)
    weights = np.array([1 / (count * comb(count - 1, size)) for size in range(count)])
    values_C = np.empty(count)
    for cluster in range(count):
        without_M = np.flatnonzero(~sets_MC[:, cluster])
        values_C[cluster] = weights[sizes_M[without_M]] @ (worth_M[without_M | (1 << cluster)] - worth_M[without_M])
    return values_C


def removal(game: Game, orders_KC: NDArray[np.intp], groups_of: int) -> Estimate:
    """Return the value by removing groups of `groups_of` clusters in each order until none is left.

    What v loses with a group is shared equally among its members (the published code gives it whole to each). The last
    group ends at v of nothing, and may be smaller.
    """
    num_orders, count = orders_KC.shape
    begins_S = np.arange(0, count, groups_of)
    removed_KC = np.argsort(orders_KC, axis=1)  # the place of each cluster in its order
    bounds_B = np.append(begins_S, count)
    if isinstance(game.worth, Sequential):  # from the end: what is left of an order begins its reverse
        worth_KB = np.array([[game.nothing, *game.along(order_C[::-1])] for order_C in orders_KC])[:, count - bounds_B]
    else:
        sets_KBC = removed_KC[:, None, :] >= bounds_B[None, :, None]
        worth_KB = game(sets_KBC.reshape(-1, count)).reshape(num_orders, len(bounds_B))
    credit_KS = -np.diff(worth_KB, axis=1) / np.diff(bounds_B)
    return Estimate.over(np.take_along_axis(credit_KS, removed_KC // groups_of, axis=1))


def permutation(game: Game, orders_KC: NDArray[np.intp], tolerance: float) -> Estimate:
    """Return Shapley values by adding single clusters in each order (Castro et al. 2009).

    Truncated as in Ghorbani and Zou 2019: an order ends, and its other clusters get 0, where |v - v(all)| < tolerance.
    Orders go on together, so that their evaluations of one step are independent; one after the other where the worth
    is sequential.
    """
    if isinstance(game.worth, Sequential):
        return _permutation_in_turn(game, orders_KC, tolerance)
    num_orders, count = orders_KC.shape
    values_KC, sets_KC = np.zeros((num_orders, count)), np.zeros((num_orders, count), np.bool_)
    worth_K, everything, left_out = np.full(num_orders, game.nothing), game.everything, 0
    for step in range(count):
        going = np.flatnonzero(np.abs(worth_K - everything) >= tolerance)
        left_out += num_orders - len(going)
        if not len(going):
            continue
        added = orders_KC[going, step]
        sets_KC[going, added] = True
        now = game(sets_KC[going])
        values_KC[going, added], worth_K[going] = now - worth_K[going], now
    return Estimate.over(values_KC, left_out / (num_orders * count))


def _permutation_in_turn(game: Game, orders_KC: NDArray[np.intp], tolerance: float) -> Estimate:
    values_KC, nothing, everything, left_out = np.zeros(orders_KC.shape), game.nothing, game.everything, 0
    for values_C, order_C in zip(values_KC, orders_KC, strict=True):
        before, worth = nothing, game.along(order_C)
        for step, added in enumerate(order_C):
            if abs(before - everything) < tolerance:
                left_out += len(order_C) - step
                break
            now = next(worth)
            values_C[added], before = now - before, now
    return Estimate.over(values_KC, left_out / values_KC.size)


def halves(game: Game, halves_KC: NDArray[np.bool_]) -> Estimate:
    """Return values from random halves and their complements: Banzhaf values, or their ridge estimate for K < C.

    A half holds each cluster with probability 1/2, and so does its complement: the mean difference of v with and
    without a cluster is an unbiased estimate of its Banzhaf value (Wang and Jia 2023, arXiv:2205.15466), and every
    evaluation serves all clusters. In the difference of a pair everything of v that is even in membership, its mean
    above all, cancels. With fewer pairs than clusters the differences cannot tell all clusters apart; ridge regression
    of differences on membership, whose penalty generalised cross-validation chooses, then shares what is known.
    """
    difference_K = game(halves_KC) - game(~halves_KC)
    signs_KC = np.where(halves_KC, 1.0, -1.0)
    num_pairs, count = signs_KC.shape
    if num_pairs >= count:
        return Estimate.over(signs_KC * difference_K[:, None])
    return _ridge(signs_KC, difference_K)


def _ridge(signs_KC: Floats, difference_K: Floats) -> Estimate:
    """Return the ridge solution, and its errors by the jackknife over pairs."""
    num_pairs = len(difference_K)
    gram_KK = signs_KC @ signs_KC.T
    roots_K, axes_KK = np.linalg.eigh(gram_KK)
    rotated_K = axes_KK.T @ difference_K

    def gcv(penalty: float) -> float:
        left_K = penalty / (np.maximum(roots_K, 0) + penalty)
        return float(np.sum((left_K * rotated_K) ** 2) / max(left_K.sum(), 1e-12) ** 2)

    penalty = min(PENALTIES * signs_KC.shape[1], key=gcv)
    inverse_KK = np.linalg.inv(gram_KK + penalty * np.eye(num_pairs))
    dual_K = inverse_KK @ difference_K
    # The solution without pair k takes S^T (G + penalty)^-1 e_k * dual_k / (G + penalty)^-1_kk from that of all pairs.
    without_KC = signs_KC.T @ dual_K - (inverse_KK * (dual_K / np.diag(inverse_KK))[:, None]) @ signs_KC
    around_KC = without_KC - without_KC.mean(0)
    return Estimate(signs_KC.T @ dual_K, np.sqrt((num_pairs - 1) / num_pairs * np.square(around_KC).sum(0)))
