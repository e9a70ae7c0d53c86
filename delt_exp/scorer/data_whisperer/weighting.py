"""From attention and metrics of groups to scores of candidates.

G groups, Q queries of a group, D members of a group, N candidates. Absent members and queries are masked.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.scorer.data_whisperer.groups import NOBODY, Rows

Weighting = Literal["attention", "uniform", "position"]
Floats = NDArray[np.float64]


def shares(attention_GQD: Floats, members_GD: Rows, weighting: Weighting) -> Floats:
    """Return the weights [G, Q, D] of the members for each query, which add up to 1; 0 for absent members.

    A query that was not asked has no attention, and 0 for all members.
    attention: in proportion to the mean attention from the query block to the demonstration. position: to that divided
    by its mean over all groups of the same size at the same position, which leaves what the content adds.
    """
    is_member_G1D = (members_GD != NOBODY)[:, None]
    shares_GQD = _normalised(np.where(is_member_G1D, attention_GQD if weighting != "uniform" else 1.0, 0.0))
    if weighting != "position":
        return shares_GQD
    means_G1D = position_means(mean_over_queries(shares_GQD), members_GD)[:, None]
    return _normalised(shares_GQD / np.where(is_member_G1D, means_G1D, 1.0))


def _normalised(raw_GQD: Floats) -> Floats:
    """Return shares that add up to 1 over members; 0 where a query has nothing to share."""
    totals_GQ1 = raw_GQD.sum(-1, keepdims=True)
    return np.asarray(raw_GQD / np.where(totals_GQ1 > 0, totals_GQ1, 1.0))


def mean_over_queries(shares_GQD: Floats) -> Floats:
    """Return [G, D] the mean weights over the queries that have any."""
    return np.asarray(shares_GQD.sum(1) / shares_GQD.any(-1).sum(1)[:, None])


def position_means(shares_GD: Floats, members_GD: Rows) -> Floats:
    """Return [G, D] the mean share at each position over the groups of the same size."""
    sizes_G = (members_GD != NOBODY).sum(1)
    means_GD = np.empty_like(shares_GD)
    for size in np.unique(sizes_G):
        means_GD[sizes_G == size] = shares_GD[sizes_G == size].mean(0)
    return means_GD


def candidate_scores(shares_GQD: Floats, metrics_GQ: Floats, members_GD: Rows, queries_GQ: Rows, count: int) -> Floats:
    """Return [N] the mean over a candidate's groups of size x the mean over their queries of share x metric.

    The size makes groups comparable: the shares of a small group are larger. Where all groups have one size, this is
    the published score times that size. NaN for who is in no group.
    """
    is_asked_GQ = queries_GQ != NOBODY
    sizes_G = (members_GD != NOBODY).sum(1)
    sums_GD = np.einsum("gqd,gq->gd", shares_GQD, np.where(is_asked_GQ, metrics_GQ, 0.0))
    values_GD = sums_GD * (sizes_G / is_asked_GQ.sum(1))[:, None]
    present = members_GD != NOBODY
    totals_N = np.bincount(members_GD[present], values_GD[present], minlength=count)
    with np.errstate(invalid="ignore"):
        means_N: Floats = totals_N / np.bincount(members_GD[present], minlength=count)
    return means_N
