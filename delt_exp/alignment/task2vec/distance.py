"""Similarity of Task2Vec embeddings. M and N batches of two texts, F filters."""

import numpy as np
from numpy.typing import NDArray

RELATIVE_EPSILON = 1e-8  # of the mean filter, so that the scale of the Fisher does not matter


def scaled_cosine(h_MF: NDArray[np.float32], h_NF: NDArray[np.float32]) -> NDArray[np.float64]:
    """1 - d of every pair, [M, N], in [0, 1]: the cosine of s0 = h0 / (h0 + h1) and s1 = h1 / (h0 + h1).

    A symmetric measure of one pair, which gives no embedding of either side. Filters that are 0 in both do not count.
    Task2Vec (arXiv 1902.03545, section 3.3).
    """
    return np.array([[_scaled(h0, h1) for h1 in h_NF] for h0 in h_MF])


def _scaled(h0_F: NDArray[np.float32], h1_F: NDArray[np.float32]) -> float:
    total = h0_F.astype(np.float64) + h1_F
    total += RELATIVE_EPSILON * total.mean()
    s0, s1 = h0_F / total, h1_F / total
    return float(s0 @ s1 / np.sqrt((s0 @ s0) * (s1 @ s1)))


def plain_cosine(h_MF: NDArray[np.float32], h_NF: NDArray[np.float32]) -> NDArray[np.float64]:
    """The cosine of the embeddings themselves, [M, N]; the largest filters decide it."""
    wide_MF, wide_NF = h_MF.astype(np.float64), h_NF.astype(np.float64)
    norms_MN = np.linalg.norm(wide_MF, axis=1)[:, None] * np.linalg.norm(wide_NF, axis=1)
    return wide_MF @ wide_NF.T / norms_MN
