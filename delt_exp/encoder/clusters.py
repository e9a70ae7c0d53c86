"""Clusters of embeddings by seeded k-means. N vectors, M fitted ones, C clusters, D numbers of a vector."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import ConfigError
from delt_exp.rows.ranking import rank_ids

ITERATIONS = 50
# Centres are means of a few hundred vectors however many there are; all vectors are put to the nearest one.
FITTED, FITTED_PER_CLUSTER = 20_000, 256
BLOCK_VECTORS = 20_000


@dataclass(frozen=True, eq=False)
class Clusters:
    """of_N: the cluster of each vector, from 0. centres_CD: their means. proxies_C: the vector nearest each of them."""

    of_N: NDArray[np.intp]
    centres_CD: NDArray[np.float64]
    proxies_C: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.proxies_C)


def clustered(
    vectors_ND: NDArray[np.float32], ids: NDArray[np.uint64], num_clusters: int, draws: np.random.Generator, key: str
) -> Clusters:
    """Return at most `num_clusters` clusters, the same whatever the order of the rows; of equal distances the lower id.

    k-means++ and Lloyd's algorithm on at most 20,000 random vectors, or 256 for each cluster where that is more; a
    cluster that lost all its members on the way is left out. draws: a fresh generator, `generator(seed, purpose)`. key:
    where the number is set. Raises ConfigError for fewer different vectors than clusters.
    """
    by_id, num_fitted = rank_ids(ids), max(FITTED, FITTED_PER_CLUSTER * num_clusters)
    fitted = by_id if len(ids) <= num_fitted else by_id[draws.choice(len(ids), num_fitted, replace=False)]
    fitted_MD = np.asarray(vectors_ND[fitted], np.float64)
    count = min(num_clusters, len(fitted_MD))
    num_distinct = len(np.unique(fitted_MD, axis=0))
    if num_distinct < count:
        raise ConfigError(
            f"{key}={num_clusters}, but {len(fitted_MD)} documents have only {num_distinct} different embeddings; use "
            f"{key}={num_distinct} or fewer, or another encoder"
        )
    centres_CD = _centres(fitted_MD, _plus_plus(fitted_MD, count, draws))
    of_N, distance_N = _nearest(vectors_ND, by_id, centres_CD)
    used_C, of_N = np.unique(of_N, return_inverse=True)
    order = np.lexsort((distance_N, of_N))  # stable: of equal distances the lower id
    proxies_C = order[np.flatnonzero(np.diff(of_N[order], prepend=-1))]
    found = np.empty(len(ids), np.intp)
    found[by_id] = of_N
    return Clusters(found, centres_CD[used_C], by_id[proxies_C])


def nearest(vectors_ND: NDArray[np.float32], centres_CD: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return [N] the centre nearest each vector."""
    return _nearest(vectors_ND, np.arange(len(vectors_ND)), centres_CD)[0]


def _nearest(
    vectors_ND: NDArray[np.float32], rows_N: NDArray[np.intp], centres_CD: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the nearest centre of each of these rows, and how far it is."""
    from scipy.cluster.vq import vq

    of_N, distance_N = np.empty(len(rows_N), np.intp), np.empty(len(rows_N))
    for start in range(0, len(rows_N), BLOCK_VECTORS):
        block = slice(start, start + BLOCK_VECTORS)
        of_N[block], distance_N[block] = vq(np.asarray(vectors_ND[rows_N[block]], np.float64), centres_CD)
    return of_N, distance_N


def _centres(vectors_MD: NDArray[np.float64], starts_CD: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.cluster.vq import kmeans2

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "One of the clusters is empty")  # it keeps the centre it had
        return np.asarray(kmeans2(vectors_MD, starts_CD, iter=ITERATIONS, minit="matrix")[0])


def _plus_plus(vectors_MD: NDArray[np.float64], count: int, draws: np.random.Generator) -> NDArray[np.float64]:
    """Return `count` different vectors, each drawn in proportion to the squared distance from those drawn before.

    Arthur and Vassilvitskii 2007. SciPy's own start compares all chosen vectors again at each draw: quadratic in C.
    """
    chosen = [int(draws.integers(len(vectors_MD)))]
    squared_M = np.full(len(vectors_MD), np.inf)
    for _ in range(count - 1):
        last_MD = vectors_MD - vectors_MD[chosen[-1]]
        squared_M = np.minimum(squared_M, np.einsum("md,md->m", last_MD, last_MD))
        chosen.append(int(draws.choice(len(vectors_MD), p=squared_M / squared_M.sum())))
    return vectors_MD[chosen]
