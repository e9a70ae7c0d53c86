"""Alignment by token counts, worked by hand over bytes (256 of them and end-of-text: V = 257)."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delt_exp.alignment.ngram import NgramAlignment
from delt_exp.alignment.table import coefficients
from delt_exp.errors import ConfigError
from delt_exp.ngrams.counts import count_tables, log_probabilities
from tests.alignment.tiny import make_resources, make_text, sentences

V = 257


def ngram(**changes):
    settings = {"order": 1, "measure": "cross_entropy", "smoothing": 2.0, "max_documents": None, "seed": 0}
    return NgramAlignment(**{**settings, **changes})


def align(tmp_path, metric, left, right):
    texts = {"l": make_text(tmp_path, left)}, {"r": make_text(tmp_path, right)}
    (row,) = coefficients(metric, *texts, make_resources(tmp_path))
    return row


def test_unigram_cross_entropy_by_hand(tmp_path):
    # Train "aab": p(a) = (2 + 2/V) / 5, p(b) = (1 + 2/V) / 5, p(c) = (2/V) / 5. Evaluation "abc", "a".
    a, b, c = ((count + 2 / V) / 5 for count in (2, 1, 0))
    expected = (2 * math.log(a) + math.log(b) + math.log(c)) / 4
    assert align(tmp_path, ngram(), ["aab"], ["abc", "a"]).value == pytest.approx(expected, rel=1e-12)


def test_the_interval_resamples_the_evaluation_documents(tmp_path):
    a, b = ((count + 2 / V) / 5 for count in (2, 1))
    row = align(tmp_path, ngram(), ["aab"], ["a", "b"])
    assert (row.low, row.high) == pytest.approx((math.log(b), math.log(a)))


def test_bigram_cross_entropy_by_hand(tmp_path):
    # Train "ab", "aa": after the start a, a; after a: b and a. p(a) = (3 + 2/V) / 6, p(b) = (1 + 2/V) / 6.
    # p(a | start) = (2 + 2 p(a)) / 4; p(b | a) = (1 + 2 p(b)) / 4; after b nothing was seen: p(b | b) = p(b).
    a, b = (3 + 2 / V) / 6, (1 + 2 / V) / 6
    expected = (math.log((2 + 2 * a) / 4) + math.log((1 + 2 * b) / 4) + math.log(b)) / 3
    assert align(tmp_path, ngram(order=2), ["ab", "aa"], ["abb"]).value == pytest.approx(expected, rel=1e-12)


def test_hellinger_affinity_by_hand(tmp_path):
    # Shares a 1/2, b 1/2 and a 1/4, c 3/4: sqrt(1/8). Bigrams with the start: (^a, ab) and (^a, aa): sqrt(1/4).
    one = align(tmp_path, ngram(measure="hellinger"), ["ab"], ["accc"])
    assert one.value == pytest.approx(math.sqrt(1 / 8))
    assert (one.low, one.high) == (None, None)
    two = align(tmp_path, ngram(measure="hellinger", order=2), ["ab"], ["aa"])
    assert two.value == pytest.approx(1 / 2)
    assert align(tmp_path, ngram(measure="hellinger", order=3), ["abc", "b"], ["b", "abc"]).value == pytest.approx(1)


@given(
    train=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), min_size=1, max_size=4),
    text=st.lists(st.integers(0, 3), max_size=8),
    order=st.integers(1, 4),
)
def test_probabilities_after_any_context_add_up_to_one(train, text, order):
    vocab_size, start = 5, [4] * (order - 1)
    stream = np.array([t for document in train for t in (*start, *document)])
    counted = np.array([flag for d in train for flag in (*[False] * (order - 1), *[True] * len(d))])
    tables = count_tables(stream, counted, order, vocab_size)
    total = sum(
        math.exp(log_probabilities(tables, np.array([*start, *text, token]), 0.5)[-1]) for token in range(vocab_size)
    )
    assert total == pytest.approx(1, rel=1e-9)


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("measure", ["cross_entropy", "hellinger"])
def test_a_text_is_more_aligned_with_its_own_kind(tmp_path, order, measure):
    metric = ngram(order=order, measure=measure)
    near = align(tmp_path, metric, sentences(12, seed=1), sentences(12, seed=2))
    far = align(tmp_path, metric, sentences(12, seed=1), sentences(12, seed=3, disguised=True))
    assert near.value > far.value


def test_both_measures_share_a_description(tmp_path):
    resources, texts = make_resources(tmp_path), {"a": make_text(tmp_path, ["ab"])}
    for measure in ("cross_entropy", "hellinger"):
        coefficients(ngram(measure=measure), texts, texts, resources)
    assert sum(use.stage == "description" and not use.cached for use in resources.store.uses) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": 0}, "NgramAlignment.order=0 is not allowed"),
        ({"smoothing": 0.0}, r"NgramAlignment.smoothing=0.0 is not allowed"),
        ({"measure": "kl"}, "one of: cross_entropy, hellinger"),
    ],
)
def test_a_wrong_setting_is_refused_at_once(changes, message):
    with pytest.raises(ConfigError, match=message):
        ngram(**changes)
