"""Clusters of embeddings by seeded k-means. N vectors, C clusters, D numbers of a vector."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import ConfigError
from delt_exp.rows.draws import generator
from delt_exp.rows.ranking import rank_ids

ITERATIONS = 50


@dataclass(frozen=True, eq=False)
class Clusters:
    """of_N: the cluster of each vector, from 0. centres_CD: their means. proxies_C: the vector nearest each of them."""

    of_N: NDArray[np.intp]
    centres_CD: NDArray[np.float64]
    proxies_C: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.proxies_C)


def clustered(
    vectors_ND: NDArray[np.float32], ids: NDArray[np.uint64], num_clusters: int, seed: int, purpose: str, key: str
) -> Clusters:
    """Return at most `num_clusters` clusters, the same whatever the order of the rows; of equal distances the lower id.

    k-means++ and Lloyd's algorithm; a cluster that lost all its members on the way is left out. purpose: of the draw.
    key: where the number is set. Raises ConfigError for fewer different vectors than clusters.
    """
    from scipy.cluster.vq import kmeans2

    by_id = rank_ids(ids)
    exact_ND = np.asarray(vectors_ND[by_id], np.float64)
    count = min(num_clusters, len(exact_ND))
    num_distinct = len(np.unique(exact_ND, axis=0))
    if num_distinct < count:
        raise ConfigError(
            f"{key}={num_clusters}, but {len(exact_ND)} documents have only {num_distinct} different embeddings; use "
            f"{key}={num_distinct} or fewer, or another encoder"
        )
    starts_CD = _plus_plus(exact_ND, count, generator(seed, purpose))
    with np.errstate(all="ignore"):
        centres_CD = kmeans2(exact_ND, starts_CD, iter=ITERATIONS, minit="matrix", missing="raise")[0]
    of_N, distance_N = _nearest(exact_ND, centres_CD)
    used_C, of_N = np.unique(of_N, return_inverse=True)
    order = np.lexsort((distance_N, of_N))  # stable: of equal distances the lower id
    proxies_C = order[np.flatnonzero(np.diff(of_N[order], prepend=-1))]
    found = np.empty(len(ids), np.intp)
    found[by_id] = of_N
    return Clusters(found, centres_CD[used_C], by_id[proxies_C])


def nearest(vectors_ND: NDArray[np.float32], centres_CD: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return [N] the centre nearest each vector."""
    return _nearest(np.asarray(vectors_ND, np.float64), centres_CD)[0]


def _nearest(
    vectors_ND: NDArray[np.float64], centres_CD: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    from scipy.cluster.vq import vq

    of_N, distance_N = vq(vectors_ND, centres_CD)
    return of_N.astype(np.intp), distance_N


def _plus_plus(vectors_ND: NDArray[np.float64], count: int, draws: np.random.Generator) -> NDArray[np.float64]:
    """Return `count` different vectors, each drawn in proportion to the squared distance from those drawn before.

    Arthur and Vassilvitskii 2007. SciPy's own start compares all chosen vectors again at each draw: quadratic in C.
    """
    chosen = [int(draws.integers(len(vectors_ND)))]
    squared_N = np.full(len(vectors_ND), np.inf)
    for _ in range(count - 1):
        last_ND = vectors_ND - vectors_ND[chosen[-1]]
        squared_N = np.minimum(squared_N, np.einsum("nd,nd->n", last_ND, last_ND))
        chosen.append(int(draws.choice(len(vectors_ND), p=squared_N / squared_N.sum())))
    return vectors_ND[chosen]
