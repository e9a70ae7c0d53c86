"""The two terms of the score and their mixture. N documents, C classes, D numbers of a vector, B of a block."""

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.rows.ranking import floor_share

Doubles = NDArray[np.float64]
BLOCK_DOCUMENTS = 4096
BLOCK_NUMBERS = 16_000_000  # distances in memory at once


def alignment(vectors_ND: NDArray[np.floating], class_N: NDArray[np.intp], prototypes_CD: Doubles) -> Doubles:
    """Return [N] SAS: the cosine of each document with the prototype of its class, none of which may be 0."""
    unit_CD = prototypes_CD / np.linalg.norm(prototypes_CD, axis=1, keepdims=True)
    result_N = np.empty(len(vectors_ND))
    for start in range(0, len(vectors_ND), BLOCK_DOCUMENTS):
        block_BD = np.asarray(vectors_ND[start : start + BLOCK_DOCUMENTS], np.float64)
        products_B = (block_BD * unit_CD[class_N[start : start + BLOCK_DOCUMENTS]]).sum(1)
        result_N[start : start + BLOCK_DOCUMENTS] = products_B / np.linalg.norm(block_BD, axis=1)
    return result_N


def own_share(vectors_ND: NDArray[np.floating], class_N: NDArray[np.intp], prototypes_CD: Doubles) -> float:
    """Return the share of documents whose own prototype is the nearest by cosine."""
    unit_CD, hits = prototypes_CD / np.linalg.norm(prototypes_CD, axis=1, keepdims=True), 0
    for start in range(0, len(vectors_ND), BLOCK_DOCUMENTS):
        nearest_B = (np.asarray(vectors_ND[start : start + BLOCK_DOCUMENTS], np.float64) @ unit_CD.T).argmax(1)
        hits += int((nearest_B == class_N[start : start + BLOCK_DOCUMENTS]).sum())
    return hits / len(vectors_ND)


def diversity(
    vectors_ND: NDArray[np.floating], class_N: NDArray[np.intp], num_neighbours: int, share: float
) -> Doubles:
    """Return [N] SDS: the mean distance of each document to its nearest others of its class; NaN for one alone there.

    As many others as floor(`share` of the class), at least 1 and at most `num_neighbours`.
    """
    result_N = np.full(len(vectors_ND), np.nan)
    for number in np.unique(class_N):
        rows = np.flatnonzero(class_N == number)
        count = min(num_neighbours, max(1, floor_share(share, len(rows))), len(rows) - 1)
        if count:
            result_N[rows] = _nearest_mean(np.asarray(vectors_ND[rows], np.float64), count)
    return result_N


def _nearest_mean(members_ND: Doubles, count: int) -> Doubles:
    """Return [N] the mean distance to the `count` nearest others, exact, from blocks of all distances."""
    squares_N, result_N = (members_ND**2).sum(1), np.empty(len(members_ND))
    step = max(1, BLOCK_NUMBERS // len(members_ND))
    for start in range(0, len(members_ND), step):
        rows_B = np.arange(start, min(start + step, len(members_ND)))
        squared_BN = squares_N[rows_B, None] + squares_N - 2 * members_ND[rows_B] @ members_ND.T
        squared_BN[np.arange(len(rows_B)), rows_B] = np.inf
        near_BK = np.argpartition(squared_BN, count - 1, axis=1)[:, :count]
        # Differences of the few that are near: the expanded square loses half of the digits for near copies.
        for row, near_K in zip(rows_B, near_BK, strict=True):
            result_N[row] = np.linalg.norm(members_ND[near_K] - members_ND[row], axis=1).mean()
    return result_N


def mixture(
    terms: dict[str, Doubles], weight: float, scaling: Literal["standard", "minmax"], warn: Callable[[str], None]
) -> Doubles:
    """Return [N] the first term plus `weight` times the second, each scaled; one that is constant is left out.

    standard: to mean 0 and deviation 1. minmax: to [0, 1] and then to mean 1, as published; one outlier sets the scale.
    """
    value_N = np.zeros(len(next(iter(terms.values()))))
    for (name, term_N), factor in zip(terms.items(), (1.0, weight), strict=True):
        low, high = float(term_N.min()), float(term_N.max())
        if high - low <= 1e-12 * max(abs(low), abs(high)):
            warn(f"the {name} of all documents is {low:.6g}: it does not distinguish documents and is left out")
        elif scaling == "standard":
            value_N += factor * (term_N - term_N.mean()) / term_N.std()
        else:
            scaled_N = (term_N - low) / (high - low)
            value_N += factor * scaled_N / scaled_N.mean()
    return value_N
