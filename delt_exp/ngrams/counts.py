"""n-gram counts of token streams as sorted integer keys.

The key of a j-gram is (index of its first j - 1 tokens among the keys of level j - 1) * V + its last token, with one
empty context at level 0. So a j-gram is one int64 however long it is, as long as (keys of level j - 1) * V is below
2^63, and looking it up is a binary search in a sorted array: no dictionary, a few bytes a distinct n-gram.
Shapes: S positions of a stream, K keys of a level, G distinct n-grams of a stream; V vocabulary.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Ints = NDArray[np.int64]
UNSEEN = -1  # instead of the index of an n-gram that the table does not have


class Level(NamedTuple):
    """One level of a table, looked up at every position of a stream.

    context_S and index_S: the keys, of the level before and of this one, of the n-gram that ends at a position without
    its last token and with it; UNSEEN where the table has none.
    """

    counts_K: Ints
    context_S: Ints
    index_S: Ints


def count_tables(stream_S: Ints, is_counted_S: NDArray[np.bool_], order: int, vocab_size: int) -> Arrays:
    """Return `keys_j` (sorted) and `counts_j` of the levels j = 1 .. order, and `vocab_size`.

    Only n-grams that end at a counted position count; the others serve as contexts.
    """
    tables: dict[str, Ints] = {"vocab_size": np.array([vocab_size], np.int64)}
    context_S = np.zeros_like(stream_S)
    for level in range(1, order + 1):
        keys_K, index_S = np.unique(context_S * vocab_size + stream_S, return_inverse=True)
        tables[f"keys_{level}"] = keys_K
        tables[f"counts_{level}"] = np.bincount(index_S[is_counted_S], minlength=len(keys_K))
        context_S = _ending_one_earlier(index_S)
    return tables


def log_probabilities(tables: Arrays, stream_S: Ints, smoothing: float) -> NDArray[np.float64]:
    """Return log p(token | the tokens before it), [S], in nats; formula in the alignment metric `ngram`."""
    return CountModel(tables, smoothing)(stream_S)


class CountModel:
    """`log_probabilities` of many streams: what depends on the tables alone is computed once."""

    def __init__(self, tables: Arrays, smoothing: float) -> None:
        self._tables, self._smoothing = tables, smoothing
        self._vocab_size = int(tables["vocab_size"][0])
        self._totals: list[NDArray[Any]] = []
        num_contexts, order = 1, 1
        while f"keys_{order}" in tables:
            contexts_K, counts_K = tables[f"keys_{order}"] // self._vocab_size, tables[f"counts_{order}"]
            self._totals.append(np.bincount(contexts_K, weights=counts_K, minlength=num_contexts))
            num_contexts, order = len(contexts_K), order + 1

    def __call__(self, stream_S: Ints) -> NDArray[np.float64]:
        """Return [S] as `log_probabilities` does."""
        p_S = np.full(len(stream_S), 1 / self._vocab_size)
        for level, totals in zip(_levels(self._tables, stream_S), self._totals, strict=True):
            counts_S, contexts_S = _at(level.counts_K, level.index_S), _at(totals, level.context_S)
            p_S = (counts_S + self._smoothing * p_S) / (contexts_S + self._smoothing)
        return np.log(p_S)


def hellinger(train: Arrays, evaluation: Arrays) -> float:
    """Return sum over n-grams of the highest level of sqrt(share in train * share in evaluation), in [0, 1].

    Only n-grams of the evaluation text are looked up, at the first place where each occurs: others add nothing.
    """
    *_, here = _levels(evaluation, evaluation["stream"])
    *_, there = _levels(train, evaluation["stream"])
    grams_G, first_G = np.unique(here.index_S, return_index=True)
    counts_G = here.counts_K[grams_G]
    train_counts_G = _at(there.counts_K, there.index_S[first_G])
    return float(np.sqrt(train_counts_G / there.counts_K.sum() * counts_G / counts_G.sum()).sum())


def _levels(tables: Arrays, stream_S: Ints) -> Iterator[Level]:
    """Yield the levels of a table from the shortest n-grams to the longest, looked up along the stream."""
    vocab_size, order = int(tables["vocab_size"][0]), 1
    context_S = np.zeros_like(stream_S)
    while f"keys_{order}" in tables:
        keys_K = tables[f"keys_{order}"]
        index_S = _look_up(keys_K, context_S * vocab_size + stream_S)
        yield Level(tables[f"counts_{order}"], context_S, index_S)
        context_S, order = _ending_one_earlier(index_S), order + 1


def _look_up(keys_K: Ints, wanted_S: Ints) -> Ints:
    """Return the index of each wanted key, UNSEEN where it is none; an UNSEEN context makes a negative key, so none."""
    nearest_S = np.minimum(np.searchsorted(keys_K, wanted_S), len(keys_K) - 1)
    return np.where(keys_K[nearest_S] == wanted_S, nearest_S, UNSEEN)


def _at(values_K: NDArray[np.generic], index_S: Ints) -> NDArray[np.float64]:
    """Return the value of each n-gram, 0 for UNSEEN."""
    return np.where(index_S == UNSEEN, 0.0, values_K[index_S])


def _ending_one_earlier(index_S: Ints) -> Ints:
    """Return the n-gram that ends one position earlier; at the first position, which has none, the first key."""
    earlier_S = np.zeros_like(index_S)
    earlier_S[1:] = index_S[:-1]
    return earlier_S
