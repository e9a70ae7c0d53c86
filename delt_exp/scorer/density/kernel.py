"""The kernel that hash functions stand for, in closed form. S sampled documents, N documents, C classes of distance."""

import math

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import ConfigError

NUM_DISTANCES = 4096  # classes of distance: the width is found to about a thousandth
BLOCK_DOCUMENTS = 4096
NUM_HALVINGS = 50
OWN_SHARE = 0.5


def collision_probability(distances: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Return how likely two points at these distances get one code of one hash function (Datar et al. 2004).

    width: of a bin, in the unit of the distances. 1 at distance 0; falls only as 1 / distance far away.
    """
    from scipy.special import erf

    ratio = width / np.maximum(distances, width * 1e-9)
    falling = 2 / (math.sqrt(2 * math.pi) * ratio) * np.expm1(-(ratio**2) / 2)
    return np.asarray(erf(ratio / math.sqrt(2)) + falling)


def automatic_width(vectors_ND: NDArray[np.float32], rows_S: NDArray[np.intp], hashes_per_code: int) -> float:
    """Return the width at which a document's own share of its density, 1 / D, is one half on average over `rows_S`.

    Narrower, and every document sees only itself; wider, and all see the same. The expected density is bisected over
    counts of distances, which are rounded to a class, so that it takes one pass over the documents. Raises ConfigError
    where no width gives that share: fewer than three documents, or copies as many as the others.
    """
    counts_SC, step = _distances(vectors_ND, rows_S)
    middles_C: NDArray[np.float64] = (np.arange(NUM_DISTANCES, dtype=np.float64) + 0.5) * step
    middles_C[0] = 0  # copies, up to rounding

    def own_share(width: float) -> float:
        density_S = counts_SC @ collision_probability(middles_C, width) ** hashes_per_code
        return float((1 / density_S).mean())

    low, high = step, step * NUM_DISTANCES * 100 * hashes_per_code
    if not own_share(low) > OWN_SHARE > own_share(high):
        raise ConfigError(
            "scorer.width=auto finds no width for these documents: they are fewer than three, or most of them have "
            "equal embeddings; set scorer.width to a distance within which documents are to count as near"
        )
    for _ in range(NUM_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if own_share(middle) > OWN_SHARE else (low, middle)
    return float(f"{low:.3g}")  # so that the order of the documents, which changes the last bits, hardly ever matters


def _distances(vectors_ND: NDArray[np.float32], rows_S: NDArray[np.intp]) -> tuple[NDArray[np.int64], float]:
    """Return how many documents lie in each class of distance from each sampled one [S, C], and a class's width."""
    sample_SD = vectors_ND[rows_S]
    squares_S = (sample_SD**2).sum(1)
    blocks = [slice(start, start + BLOCK_DOCUMENTS) for start in range(0, len(vectors_ND), BLOCK_DOCUMENTS)]
    longest = max(float(np.linalg.norm(vectors_ND[block], axis=1).max()) for block in blocks)
    step = 2 * longest / (NUM_DISTANCES - 1)
    counts_SC = np.zeros((len(rows_S), NUM_DISTANCES), np.int64)
    first_S = np.arange(len(rows_S)) * NUM_DISTANCES
    for block in blocks:
        block_BD = np.asarray(vectors_ND[block])
        squared_BS = (block_BD**2).sum(1)[:, None] + squares_S - 2 * (block_BD @ sample_SD.T)
        class_BS = (np.sqrt(np.maximum(squared_BS, 0)) / step).astype(np.int64)
        class_BS = np.minimum(class_BS, NUM_DISTANCES - 1) + first_S
        counts_SC += np.bincount(class_BS.ravel(), minlength=counts_SC.size).reshape(counts_SC.shape)
    return counts_SC, step
