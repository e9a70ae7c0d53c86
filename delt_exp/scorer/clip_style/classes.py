"""Classes of documents and what stands for each of them. N documents, C classes, D numbers of a vector."""

import warnings

import numpy as np
from numpy.typing import NDArray

from delt_exp.rows.draws import shuffled_rows

FITTED = 20_000  # documents that k-means sees; all are then put to the nearest centre
ITERATIONS = 30
BLOCK_DOCUMENTS = 4096


def clustered(vectors_ND: NDArray[np.floating], ids: NDArray[np.uint64], count: int, seed: int) -> NDArray[np.intp]:
    """Return [N] the cluster of each document by k-means, fitted on at most 20,000 random ones; some may stay empty.

    Documents are seen in an order that their ids decide, so that clusters do not depend on that of the corpus.
    """
    from scipy.cluster.vq import kmeans2

    fitted = shuffled_rows(ids, seed, "documents of k-means")[:FITTED]
    fitted_MD = np.asarray(vectors_ND[fitted], np.float64)
    centres_CD = fitted_MD[: min(count, len(fitted_MD))].copy()  # random documents to begin with
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "One of the clusters is empty")  # it keeps its centre
        centres_CD = kmeans2(fitted_MD, centres_CD, iter=ITERATIONS, minit="matrix")[0]
    class_N = np.empty(len(vectors_ND), np.intp)
    squares_C = (centres_CD**2).sum(1)
    for start in range(0, len(vectors_ND), BLOCK_DOCUMENTS):
        block_BD = np.asarray(vectors_ND[start : start + BLOCK_DOCUMENTS], np.float64)
        class_N[start : start + BLOCK_DOCUMENTS] = (squares_C - 2 * block_BD @ centres_CD.T).argmin(1)
    return class_N


def centroids(vectors_ND: NDArray[np.floating], class_N: NDArray[np.intp], count: int) -> NDArray[np.float64]:
    """Return [C, D] the mean vector of each class, ones for a class without documents."""
    result_CD = np.ones((count, vectors_ND.shape[1]))
    for number in np.unique(class_N):
        result_CD[number] = vectors_ND[np.flatnonzero(class_N == number)].mean(0, dtype=np.float64)
    return result_CD
