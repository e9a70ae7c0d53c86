"""Which documents of one set are near-duplicates of each other: MinHash signatures in bands (Broder 1997).

N documents, D documents of a batch, G n-grams, P permutations, A bands.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, settings
from delt_exp.mapping.judge import BRIEF, TextBatch
from delt_exp.ngrams.hashed import BASE, chunks, hashed_words
from delt_exp.rows.draws import generator, splitmix64

EXACT_BITS = 52  # of a hash, which a float64 holds exactly


@settings
class MinHash:
    """Two documents are linked when all `rows` numbers of one of `bands` agree; clusters are what links connect.

    The numbers are minima of random hashes over a document's distinct word n-grams, in lower case; a document of fewer
    words is one n-gram. Two documents of Jaccard similarity s are linked with the probability 1 - (1 - s^rows)^bands:
    14 bands of 8, those of FineWeb (arXiv:2406.17557), link 5 % of the pairs at 0.5, 56 % at 0.7, 92 % at 0.8.
    """

    ngram_words: Count
    bands: Count
    rows: Count


@dataclass(frozen=True)
class BandJudge:
    """Says the hashes [A] of a document's bands: whole numbers below 2^52."""

    dtype: ClassVar[str] = "float64"
    context_tokens: ClassVar[int] = BRIEF
    minhash: MinHash

    @property
    def width(self) -> int:
        return self.minhash.bands

    def open(self, device: str) -> Callable[[TextBatch], NDArray[np.float64]]:
        """Draw the permutations; the CPU hashes, whatever the device."""
        rng = generator(0, "permutations of MinHash")  # always the same: no seed of a run changes a corpus
        factors_P, shifts_P = rng.integers(2**64, size=(2, self.minhash.bands * self.minhash.rows), dtype=np.uint64)
        factors_P |= np.uint64(1)

        def judge(batch: TextBatch) -> NDArray[np.float64]:
            bands, start = [], 0
            for chunk in chunks(batch.texts):
                grams_G, first_D = self._grams(chunk, batch.ids[start : start + len(chunk)])
                bands.append(self._bands(grams_G, first_D, factors_P, shifts_P))
                start += len(chunk)
            return np.concatenate(bands)

        return judge

    def _grams(self, texts: list[str], ids_D: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.intp]]:
        """Return the n-grams of all documents, and where each document's begin; every document has one at least.

        What is shorter than an n-gram is hashed with zeros after it; a document without a word, by its id.
        """
        words_T, document_T = hashed_words(texts)
        sizes_D = np.bincount(document_T, minlength=len(texts))
        n = self.minhash.ngram_words
        padded_D = np.maximum(sizes_D, n)
        first_D = np.cumsum(padded_D) - padded_D
        stream = np.zeros(int(padded_D.sum()) + n, np.uint64)
        stream[np.arange(len(words_T)) + (first_D - (np.cumsum(sizes_D) - sizes_D))[document_T]] = words_T
        stream[first_D[sizes_D == 0]] = ids_D[sizes_D == 0]
        grams = np.zeros(len(stream) - n, np.uint64)
        for shift in range(n):
            grams = grams * np.uint64(BASE) + stream[shift : shift + len(grams)]
        counts_D = padded_D - n + 1
        begin_D = np.cumsum(counts_D) - counts_D
        place_G = np.arange(int(counts_D.sum())) + np.repeat(first_D - begin_D, counts_D)
        return splitmix64(grams[place_G]), begin_D

    def _bands(
        self, grams_G: NDArray[np.uint64], begin_D: NDArray[np.intp], factors_P: NDArray[np.uint64],
        shifts_P: NDArray[np.uint64],
    ) -> NDArray[np.float64]:  # fmt: skip
        """Return [D, A]; one permutation after the other, so that memory does not grow with their number."""
        keys_DA = np.zeros((len(begin_D), self.minhash.bands), np.uint64)
        for number, (factor, shift) in enumerate(zip(factors_P, shifts_P, strict=True)):
            # The upper half of a product is random in all bits (multiply-shift hashing: Dietzfelbinger et al. 1997).
            minima_D = np.minimum.reduceat(((grams_G * factor + shift) >> np.uint64(32)).astype(np.uint32), begin_D)
            band = number // self.minhash.rows
            keys_DA[:, band] = keys_DA[:, band] * np.uint64(BASE) + minima_D
        return (splitmix64(keys_DA) >> np.uint64(64 - EXACT_BITS)).astype(np.float64)


def clusters(keys_NA: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return [N] the cluster of each document, named by its first row; one like no other has a cluster of its own."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first_N = np.arange(len(keys_NA))
    for keys_N in keys_NA.T:  # band by band: links of all bands at once would take several times the memory
        order = np.argsort(keys_N, kind="stable")
        is_linked = np.asarray(keys_N[order[1:]] == keys_N[order[:-1]])
        if not is_linked.any():
            continue
        one, other = first_N[order[1:][is_linked]], first_N[order[:-1][is_linked]]
        links = coo_array((np.ones(len(one), np.bool_), (one, other)), shape=(len(first_N), len(first_N)))
        _, label_N = connected_components(links, directed=False)
        _, root = np.unique(label_N, return_index=True)  # rows ascend: the first row of each label
        first_N = root[label_N[first_N]]
    return first_N
