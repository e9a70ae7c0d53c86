"""n-gram counts of token streams as sorted integer keys.

The key of a j-gram is (index of its first j - 1 tokens among the keys of level j - 1) * V + its last token, with one
empty context at level 0. Shapes: S positions of a stream, K keys of a level; V vocabulary.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from delt_exp.alignment.base import Arrays

Ints = NDArray[np.int64]


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
        context_S = _one_later(index_S)
    return tables


def log_probabilities(tables: Arrays, stream_S: Ints, smoothing: float) -> NDArray[np.float64]:
    """Return log p(token | the tokens before it), [S], in nats; formula in `NgramAlignment`."""
    vocab_size = int(tables["vocab_size"][0])
    p_S = np.full(len(stream_S), 1 / vocab_size)
    num_contexts = 1
    for counts_K, keys_K, context_S, index_S in _levels(tables, stream_S):
        totals = np.bincount(keys_K // vocab_size, weights=counts_K, minlength=num_contexts)
        p_S = (_at(counts_K, index_S) + smoothing * p_S) / (_at(totals, context_S) + smoothing)
        num_contexts = len(keys_K)
    return np.log(p_S)


def hellinger(train: Arrays, evaluation: Arrays) -> float:
    """Return sum over n-grams of the highest level of sqrt(share in train * share in evaluation), in [0, 1]."""
    stream_S = evaluation["stream"]
    (*_, (_, _, _, here_S)) = _levels(evaluation, stream_S)
    (*_, (counts_K, _, _, there_S)) = _levels(train, stream_S)
    grams, first = np.unique(here_S, return_index=True)
    top = max(int(name.removeprefix("counts_")) for name in evaluation if name.startswith("counts_"))
    own = evaluation[f"counts_{top}"][grams]
    shared = _at(counts_K, there_S[first]) / counts_K.sum() * own / own.sum()
    return float(np.sqrt(shared).sum())


def _levels(tables: Arrays, stream_S: Ints) -> Iterator[tuple[Ints, Ints, Ints, Ints]]:
    """Yield (counts, keys, context at each position, n-gram at each position) by level; -1 is what never occurred."""
    vocab_size, level = int(tables["vocab_size"][0]), 1
    context_S = np.zeros_like(stream_S)
    while f"keys_{level}" in tables:
        keys_K, code_S = tables[f"keys_{level}"], context_S * vocab_size + stream_S
        found_S = np.minimum(np.searchsorted(keys_K, code_S), len(keys_K) - 1)
        index_S = np.where(keys_K[found_S] == code_S, found_S, -1)
        yield tables[f"counts_{level}"], keys_K, context_S, index_S
        context_S, level = _one_later(index_S), level + 1


def _at(values_K: NDArray[np.generic], index_S: Ints) -> NDArray[np.float64]:
    return np.where(index_S < 0, 0.0, values_K[index_S])


def _one_later(index_S: Ints) -> Ints:
    """The n-gram that ends one position earlier; at the first position, whatever stands first."""
    return np.concatenate([index_S[:1] * 0, index_S[:-1]])
