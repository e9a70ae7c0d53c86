"""Words and their n-grams as hashes and numbers of buckets, for a batch of documents at a time.

D documents, C characters of a batch, T words, G n-grams, B buckets.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from delt_exp.rows.draws import GOLDEN, splitmix64

Words = NDArray[np.uint64]
CHUNK_CHARS = 1 << 20  # characters in memory at once, at about 60 bytes each; a longer document is one chunk
BASE = GOLDEN  # odd, so that it has an inverse modulo 2^64
SPACE, LETTER, SIGN = 0, 1, 2


@dataclass(frozen=True)
class HashedNgrams:
    """All n-grams of 1 .. `max_ngram` words, each in one of `num_buckets` by its hash.

    A word is a run of letters, digits and underscores, or one of other visible characters, in lower case: the regular
    expression `\\w+|[^\\w\\s]+`, NLTK's WordPunctTokenizer. No n-gram reaches from one document into the next.
    """

    max_ngram: int
    num_buckets: int

    def of(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
        """Return bucket and document of every n-gram, [G] each: single words first, then pairs, and so on."""
        words_T, document_T = hashed_words(texts)
        grams, buckets, documents = words_T, [], []
        for size in range(self.max_ngram):
            if size:
                grams = grams[:-1] * np.uint64(BASE) + words_T[size:]
            is_inside = document_T[: len(grams)] == document_T[size:]
            mixed = splitmix64(grams[is_inside])
            # The upper 32 bits times B, shifted back: uniform as a remainder is, without a division.
            buckets.append(((mixed >> np.uint64(32)) * np.uint64(self.num_buckets)) >> np.uint64(32))
            documents.append(document_T[size:][is_inside])
        return np.concatenate(buckets).astype(np.int64), np.concatenate(documents)

    def counts(self, texts: Iterable[str]) -> NDArray[np.int64]:
        """Return [B] how many n-grams of all texts are in each bucket; the texts are read as a stream."""
        counts_B = np.zeros(self.num_buckets, np.int64)
        for chunk in chunks(texts):
            counts_B += np.bincount(self.of(chunk)[0], minlength=self.num_buckets)
        return counts_B


def chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield the texts in lists of about CHUNK_CHARS characters, at least one text in each."""
    chunk: list[str] = []
    num_chars = 0
    for text in texts:
        if chunk and num_chars + len(text) > CHUNK_CHARS:
            yield chunk
            chunk, num_chars = [], 0
        chunk.append(text)
        num_chars += len(text) + 1
    if chunk:
        yield chunk


def hashed_words(texts: Sequence[str]) -> tuple[Words, NDArray[np.intp]]:
    """Return the 64-bit hash and the document of every word, [T] each, in the order of the texts.

    The hash of characters c_0 c_1 ... is the sum of (c_j + 1) BASE^j modulo 2^64. Sums from the beginning of the batch
    give that of every word by one subtraction, so that NumPy hashes all words at once.
    """
    lowered = [text.lower() for text in texts]
    joined = "\n".join(["", *lowered, ""])  # a space before and after every text ends its words
    codes_C = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), "<u4")
    kinds_C = _kinds()[codes_C]
    is_border = kinds_C[1:] != kinds_C[:-1]
    start_T = np.flatnonzero(is_border & (kinds_C[1:] != SPACE)) + 1
    stop_T = np.flatnonzero(is_border & (kinds_C[:-1] != SPACE)) + 1
    size = 1 << len(codes_C).bit_length()
    sums_C = np.cumsum((codes_C + np.uint64(1)) * _powers(BASE, size)[: len(codes_C)])
    words_T = (sums_C[stop_T - 1] - sums_C[start_T - 1]) * _powers(pow(BASE, -1, 1 << 64), size)[start_T]
    begins = 1 + np.cumsum([0, *(len(text) + 1 for text in lowered)])
    return words_T, np.repeat(np.arange(len(texts)), np.diff(np.searchsorted(start_T, begins)))


@lru_cache(maxsize=4)
def _powers(base: int, count: int) -> NDArray[np.uint64]:
    """Return base^0, base^1 ... modulo 2^64."""
    factors = np.full(count, base, np.uint64)
    factors[0] = 1
    return np.cumprod(factors)


@lru_cache(maxsize=1)
def _kinds() -> NDArray[np.uint8]:
    """Return what every code point is to Python's regular expressions: SPACE, LETTER (\\w) or SIGN."""
    characters = map(chr, range(0x110000))
    return np.array([LETTER if c.isalnum() or c == "_" else SPACE if c.isspace() else SIGN for c in characters], "u1")
