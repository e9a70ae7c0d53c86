"""Cross-entropy under the target's counts: by hand, and against the alignment metric of the same formula."""

from math import log

import numpy as np
import pytest

from delt_exp.dataset.base import Document
from delt_exp.errors import ConfigError
from delt_exp.ngrams.counts import count_tables, log_probabilities
from delt_exp.scorer.ngram_match import NgramMatchScorer
from tests.helpers import make_pool, words


def test_unigrams_are_those_worked_by_hand(tmp_path):
    pool = make_pool(tmp_path, ["a", "ab", "z"], ["aab"])
    vocabulary = pool.resources.run_tokenizer.vocab_size
    p_a, p_b, p_z = ((count + 2 / vocabulary) / (3 + 2) for count in (2, 1, 0))
    expected = [-log(p_a), -(log(p_a) + log(p_b)) / 2, -log(p_z)]
    assert NgramMatchScorer(1, 2.0).score(pool) == pytest.approx(expected, rel=1e-6)


def test_bigrams_fall_back_on_unigrams(tmp_path):
    pool = make_pool(tmp_path, ["ab", "bb"], ["ab", "ac"])
    vocabulary = pool.resources.run_tokenizer.vocab_size
    p_a, p_b = ((count + 1 / vocabulary) / (4 + 1) for count in (2, 1))
    after_begin_a, after_begin_b = (2 + p_a) / (2 + 1), p_b / (2 + 1)
    b_after_a, b_after_b = (1 + p_b) / (2 + 1), p_b / (0 + 1)
    expected = [-(log(after_begin_a) + log(b_after_a)) / 2, -(log(after_begin_b) + log(b_after_b)) / 2]
    assert NgramMatchScorer(2, 1.0).score(pool) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_every_document_has_the_mean_of_its_tokens_alone(tmp_path, order):
    texts, target = [*words(20), "x" * 300], words(9, seed=3)
    pool = make_pool(tmp_path, texts, target)
    tokens = pool.target.tokens
    start = np.full(order - 1, tokens.begin_id, np.int64)

    def stream(corpus_tokens, row):
        return np.concatenate([start, corpus_tokens.document(row).astype(np.int64)])

    streams = [stream(tokens, row) for row in range(len(tokens))]
    is_counted = np.concatenate([np.arange(len(one)) >= order - 1 for one in streams])
    tables = count_tables(np.concatenate(streams), is_counted, order, tokens.meta["vocab_size"])
    expected = [
        -log_probabilities(tables, stream(pool.candidates.tokens, row), 0.5)[order - 1 :].mean()
        for row in range(len(texts))
    ]
    np.testing.assert_allclose(NgramMatchScorer(order, 0.5).score(pool), expected, rtol=1e-5)


def test_a_prompt_is_read_and_not_counted(tmp_path):
    pool = make_pool(tmp_path, [Document("b", prompt="a"), Document("b", prompt="c"), "b"], ["ab"])
    after_a, after_c, at_begin = NgramMatchScorer(2, 1.0).score(pool)
    assert after_a < after_c
    assert after_a < at_begin


def test_lower_is_better():
    meaning = NgramMatchScorer(3, 1.0).meaning
    assert (meaning.better, meaning.unit, meaning.name) == ("lower", "nats/token", "3-gram cross-entropy")


@pytest.mark.parametrize(("order", "smoothing", "key"), [(0, 1.0, "order"), (1, 0.0, "smoothing")])
def test_settings_without_a_meaning_are_refused(order, smoothing, key):
    with pytest.raises(ConfigError, match=f"NgramMatchScorer.{key}="):
        NgramMatchScorer(order, smoothing)
