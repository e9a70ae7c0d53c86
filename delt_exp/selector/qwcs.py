"""Keep a random share of the corpus, cluster by cluster: the better a cluster, the sooner its documents are drawn.

N documents, C clusters.
"""

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import NonNegativeFloat, PositiveShare, Seed, checked
from delt_exp.rows.candidates import Candidates
from delt_exp.rows.draws import uniform_per_id
from delt_exp.rows.ranking import spread
from delt_exp.selector.budget import Unit, best_within, share_of


@checked
def qwcs(
    candidates: Candidates, *, ratio: PositiveShare, unit: Unit, scaling_factor: NonNegativeFloat, seed: Seed
) -> NDArray[np.intp]:
    """Return rows drawn by the quality-weighted cluster sampling of SHED (arXiv:2405.00705), in row order.

    They are floor(ratio * N) of N documents, or drawn until they have floor(ratio * T) of all T tokens. Documents of
    equal score are a cluster. Each kept document takes two draws: a cluster among those that still have documents, with
    probability proportional to exp(scaling_factor * S), and a random document of it. S is the score of the cluster,
    standardised over clusters, each counted once; where they differ by rounding alone, it is 0. A factor of 0 gives all
    clusters equal chances, whatever their sizes. The published weights exp(f S) of scores as they are have
    scaling_factor = f times the standard deviation of S over clusters.
    """
    budget = share_of(candidates, ratio, unit)
    values_C, cluster_N = np.unique(candidates.goodness, return_inverse=True)
    exact_C, spread_of_C = values_C.astype(np.float64), spread(values_C)
    standard_C = (exact_C - exact_C.mean()) / spread_of_C if spread_of_C else np.zeros(len(values_C))
    times_N = _times(candidates.ids, cluster_N, seed) - scaling_factor * standard_C[cluster_N]
    return best_within(candidates, -times_N, budget, unit)


def _times(ids: NDArray[np.uint64], cluster_N: NDArray[np.intp], seed: int) -> NDArray[np.float64]:
    """Return [N] the logarithm of the time at which each document is drawn if every cluster draws at rate 1.

    Let each cluster draw a document at every event of a Poisson process of its own. Then each next event is that of a
    cluster with probability proportional to its rate, and events of an empty cluster do not count. So the documents
    with the earliest times are an exact draw without replacement, found by one sort in place of a loop. A rate of
    exp(a) divides the times of a cluster by exp(a): in logarithms a subtraction, which cannot overflow.
    """
    order_N = np.lexsort((ids, uniform_per_id(ids, seed, "documents within a cluster"), cluster_N))
    gaps_N = -np.log(uniform_per_id(ids, seed, "draws of clusters"))[order_N]
    sums_N, begins_C = np.cumsum(gaps_N), np.flatnonzero(np.diff(cluster_N[order_N], prepend=-1))
    sizes_C = np.diff(begins_C, append=len(ids))
    before_N = np.repeat(sums_N[begins_C] - gaps_N[begins_C], sizes_C)
    # Far into a long sum the difference may round to less than the first gap of a cluster, even to 0.
    elapsed_N = np.maximum(sums_N - before_N, np.repeat(gaps_N[begins_C], sizes_C))
    times_N = np.empty(len(ids))
    times_N[order_N] = np.log(elapsed_N)
    return times_N
