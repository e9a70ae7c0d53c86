"""Words hashed all at once by NumPy against words found by a regular expression and hashed one by one."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delt_exp.ngrams import hashed
from delt_exp.ngrams.hashed import BASE, HashedNgrams, chunks, hashed_words
from delt_exp.rows.draws import fold_of

WORD = re.compile(r"\w+|[^\w\s]+")
TEXTS = st.lists(st.text(st.one_of(st.characters(), st.sampled_from("ab .,_ \n\u00a0Éß日"))), max_size=6)
MASK = (1 << 64) - 1


def word_hash(word):
    return sum((ord(c) + 1) * pow(BASE, j, 1 << 64) for j, c in enumerate(word)) & MASK


def mixed(value):
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = (value ^ value >> shift) * factor & MASK
    return value ^ value >> 31


def buckets(words, max_ngram, num_buckets):
    """The buckets of one document, word by word."""
    found = []
    for size in range(1, max_ngram + 1):
        for start in range(len(words) - size + 1):
            value = 0
            for word in words[start : start + size]:
                value = (value * BASE + word_hash(word)) & MASK
            found.append((mixed(value) >> 32) * num_buckets >> 32)
    return sorted(found)


@given(TEXTS)
def test_words_are_those_of_the_regular_expression_in_lower_case(texts):
    hashes, documents = hashed_words(texts)
    expected = [(word_hash(word), row) for row, text in enumerate(texts) for word in WORD.findall(text.lower())]
    assert list(zip(hashes.tolist(), documents.tolist(), strict=True)) == expected


@given(TEXTS, st.integers(1, 4), st.sampled_from([2, 97, 10_000]))
def test_n_grams_are_those_of_each_document_alone(texts, max_ngram, num_buckets):
    found, documents = HashedNgrams(max_ngram, num_buckets).of(texts)
    for row, text in enumerate(texts):
        expected = buckets(WORD.findall(text.lower()), max_ngram, num_buckets)
        assert sorted(found[documents == row].tolist()) == expected


def test_buckets_are_about_equally_full():
    counts = HashedNgrams(1, 10).counts(" ".join(map(str, range(20_000))) for _ in range(1))
    assert counts.sum() == 20_000
    assert abs(counts - 2_000).max() < 6 * np.sqrt(2_000)


def test_the_counts_of_a_stream_are_those_of_one_batch(monkeypatch):
    texts = ["a b c", "", "a b", "x" * 40, "c, c"]
    whole = HashedNgrams(2, 50).counts(texts)
    monkeypatch.setattr(hashed, "CHUNK_CHARS", 8)
    np.testing.assert_array_equal(HashedNgrams(2, 50).counts(iter(texts)), whole)


def test_chunks_hold_every_text_once_and_no_more_than_they_may(monkeypatch):
    monkeypatch.setattr(hashed, "CHUNK_CHARS", 10)
    assert list(chunks(["a" * 4, "b" * 4, "c" * 30, "d"])) == [["a" * 4, "b" * 4], ["c" * 30], ["d"]]


@pytest.mark.parametrize("num_folds", [2, 5])
def test_folds_follow_the_id_and_are_about_equally_large(num_folds):
    ids = np.arange(10_000, dtype=np.uint64)
    folds = fold_of(ids, num_folds, seed=3)
    np.testing.assert_array_equal(fold_of(ids[::-1], num_folds, seed=3), folds[::-1])
    assert abs(np.bincount(folds) - 10_000 / num_folds).max() < 300
    assert (fold_of(ids, num_folds, seed=4) != folds).any()
