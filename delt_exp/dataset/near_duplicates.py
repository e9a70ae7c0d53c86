"""Near-duplicates among texts.

Words are runs of letters and digits after NFKC and case folding; a Chinese or Japanese character is a word. Two
documents are near-duplicates when their words are the same, or when they share at least five distinct word 5-grams
and these are at least half of those of the document that has fewer: containment (Broder 1997, "On the resemblance and
containment of documents"), because long documents are cut into pieces.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.progress import track
from delt_exp.rows.draws import GOLDEN

GRAM_WORDS = 5
MIN_SHARED = 5
MIN_CONTAINMENT = 0.5
BLOCK_DOCUMENTS = 1000  # candidates in memory at once
WORD = re.compile(r"[^\W_\u3040-\u30ff\u4e00-\u9fff]+|[\u3040-\u30ff\u4e00-\u9fff]")
FACTOR = np.uint64(GOLDEN)
Numbers = NDArray[np.uint64]
"""A text as the numbers of its words."""


def words(text: str) -> list[str]:
    """Return the normalised words of a text."""
    return WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def near_duplicates(
    candidates: Iterable[str], sets: Sequence[Iterable[str]], num_candidates: int | None = None
) -> tuple[NDArray[np.bool_], list[NDArray[np.bool_]]]:
    """Return which candidates are near-duplicates of a text in `sets`, and in each of these which are of a candidate.

    Equal texts are among them. Memory grows with the words of `sets`; candidates are read as a stream. Two different
    5-grams count as one with a chance of about 2^-64.
    """
    vocabulary = _Vocabulary()
    texts = [[vocabulary.numbers(text) for text in one] for one in sets]
    index = _Index(list(chain.from_iterable(texts)))
    found = [index.find(block) for block in _blocks(candidates, vocabulary, num_candidates)]
    stops = np.cumsum([len(one) for one in texts], dtype=np.intp)
    return np.concatenate([np.zeros(0, np.bool_), *found]), np.split(index.is_near, stops)[:-1]


class _Vocabulary(dict[str, int]):
    """Numbers words from 1 in the order in which they are met."""

    def __missing__(self, word: str) -> int:
        self[word] = number = len(self) + 1
        return number

    def numbers(self, text: str) -> Numbers:
        return np.array([self[word] for word in words(text)], np.uint64)


def _blocks(texts: Iterable[str], known: _Vocabulary, count: int | None) -> Iterator[list[Numbers]]:
    """Yield the texts as numbered words; words that no set has are numbered anew in each block, to bound memory."""
    stream = iter(texts)
    with track("comparing", count, "documents") as task:
        while block := list(islice(stream, BLOCK_DOCUMENTS)):
            vocabulary = _Vocabulary(known)
            yield [vocabulary.numbers(text) for text in block]
            task.advance(len(block))


class _Index:
    """Finds which of some documents are near-duplicates of others that pass by in blocks."""

    def __init__(self, documents: Sequence[Numbers]) -> None:
        owner, gram = _distinct(*_grams(documents))
        self._count = np.bincount(owner, minlength=len(documents))
        rows = np.argsort(gram, kind="stable")
        self._owner = owner[rows]
        self._gram, self._start = np.unique(gram[rows], return_index=True)
        self._stop = np.append(self._start[1:], len(rows))
        self.is_near = np.zeros(len(documents), np.bool_)
        self._same: dict[bytes, list[int]] = {}
        for row, document in enumerate(documents):
            if len(document):  # a text without a word is like no other
                self._same.setdefault(document.tobytes(), []).append(row)

    def find(self, block: Sequence[Numbers]) -> NDArray[np.bool_]:
        """Mark the documents that have a near-duplicate in `block`, and return which of `block` are one."""
        found = np.zeros(len(block), np.bool_)
        for row, document in enumerate(block):
            same = self._same.get(document.tobytes(), [])
            self.is_near[same] = True
            found[row] = bool(same)
        if len(self._gram):
            self._find_contained(*_grams(block), found)
        return found

    def _find_contained(self, owner: NDArray[np.intp], gram: NDArray[np.uint64], found: NDArray[np.bool_]) -> None:
        place = np.minimum(np.searchsorted(self._gram, gram), len(self._gram) - 1)
        is_known = self._gram[place] == gram
        known_owner, known = _distinct(owner[is_known], place[is_known])
        documents, first = np.unique(known_owner, return_index=True)
        for document, mine in zip(documents, np.split(known, first)[1:], strict=True):
            if len(mine) < MIN_SHARED:
                continue
            low, high = np.searchsorted(owner, [document, document + 1])
            count = len(np.unique(gram[low:high]))
            others = np.concatenate([self._owner[self._start[p] : self._stop[p]] for p in mine])
            other, shared = np.unique(others, return_counts=True)
            needed = np.maximum(MIN_SHARED, MIN_CONTAINMENT * np.minimum(self._count[other], count))
            self.is_near[other[shared >= needed]] = True
            found[document] |= bool((shared >= needed).any())


def _grams(documents: Sequence[Numbers]) -> tuple[NDArray[np.intp], NDArray[np.uint64]]:
    """Return document and hash of every word 5-gram, in the order of the text."""
    lengths = np.array([len(document) for document in documents], np.intp)
    stream = np.concatenate([*documents, np.zeros(GRAM_WORDS, np.uint64)])
    hashes = np.zeros(len(stream) - GRAM_WORDS, np.uint64)
    for shift in range(GRAM_WORDS):
        hashes = hashes * FACTOR + stream[shift : shift + len(hashes)]
    owner = np.repeat(np.arange(len(documents)), lengths)
    stop = np.cumsum(lengths)[owner]
    inside = np.arange(len(owner)) + GRAM_WORDS <= stop
    return owner[inside], hashes[inside]


def _distinct(owner: NDArray[np.intp], values: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Return the distinct pairs, sorted."""
    rows = np.lexsort((values, owner))
    owner, values = owner[rows], values[rows]
    is_new = np.ones(len(rows), np.bool_)
    is_new[1:] = (owner[1:] != owner[:-1]) | (values[1:] != values[:-1])
    return owner[is_new], values[is_new]
