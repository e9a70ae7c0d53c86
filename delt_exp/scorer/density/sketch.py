"""How many documents share a document's code, over many hash functions.

N documents, B of a block, D numbers of a vector, R codes, G of a group, K hashes of a code.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delt_exp.progress import track
from delt_exp.rows.draws import generator, splitmix64

BLOCK_DOCUMENTS = 4096
HASHES_AT_ONCE = 256  # columns of a product: enough for a fast one, and 8 bytes per document and code are kept


@dataclass(frozen=True)
class Density:
    """mean: [N] the average count over the codes, a document itself included. error: [N] its standard error."""

    mean: NDArray[np.float64]
    error: NDArray[np.float64]


def count_collisions(
    vectors_ND: NDArray[np.float32], width: float, num_codes: int, hashes_per_code: int, seed: int
) -> Density:
    """Return the density by `num_codes` random codes, each of `hashes_per_code` hashes floor((a . x + b) / width).

    Counts are those of equal codes among all documents at hand, so that no table of counters with its collisions is
    needed. A group of codes at a time: memory is that of the vectors and 8 bytes for each document and code of a group.
    """
    sums_N, squares_N = np.zeros((2, len(vectors_ND)))
    group = max(1, HASHES_AT_ONCE // hashes_per_code)
    with track("counting", num_codes, "codes") as task:
        for number, first in enumerate(range(0, num_codes, group)):
            count = min(group, num_codes - first)
            rng = generator(seed, "hash functions of a density", number)
            directions = rng.standard_normal((vectors_ND.shape[1], count * hashes_per_code))
            offsets = width * rng.random(count * hashes_per_code)
            for codes_N in joined_codes(vectors_ND, directions, offsets, width, hashes_per_code).T:
                counts_N = sharing(codes_N)
                sums_N += counts_N
                squares_N += counts_N**2
            task.advance(count)
    mean_N = sums_N / num_codes
    variance_N = np.maximum(squares_N / num_codes - mean_N**2, 0)
    return Density(mean_N, np.sqrt(variance_N / max(num_codes - 1, 1)))


def joined_codes(
    vectors_ND: NDArray[np.float32], directions: NDArray[np.float64], offsets: NDArray[np.float64], width: float,
    hashes_per_code: int,
) -> NDArray[np.int64]:  # fmt: skip
    """Return codes [N, G], one for every `hashes_per_code` columns of directions [D, G K] and offsets [G K].

    The K whole numbers become one of 64 bits as their sum with hashed odd factors, the first of which is 1: a single
    number is its own code, equal ones stay equal, and different ones of a million documents meet once in ten million
    codes.
    """
    scaled, shifts = (directions / width).astype(np.float32), (offsets / width).astype(np.float32)
    factors_K = (splitmix64(np.arange(1, hashes_per_code + 1, dtype=np.uint64)) | np.uint64(1)).astype(np.int64)
    factors_K[0] = 1
    codes_NG = np.empty((len(vectors_ND), directions.shape[1] // hashes_per_code), np.int64)
    for start in range(0, len(vectors_ND), BLOCK_DOCUMENTS):
        product = np.asarray(vectors_ND[start : start + BLOCK_DOCUMENTS]) @ scaled
        product += shifts
        bins_BGK = np.floor(product, out=product).astype(np.int64).reshape(len(product), -1, hashes_per_code)
        codes_NG[start : start + BLOCK_DOCUMENTS] = np.einsum("bgk,k->bg", bins_BGK, factors_K)
    return codes_NG


def sharing(codes_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return [N] how many documents have each document's code."""
    _, place_N, counts = np.unique(codes_N, return_inverse=True, return_counts=True)
    return np.asarray(counts[place_N])
