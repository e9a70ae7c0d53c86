"""Hashed words: unbiased inner products of damped counts."""

import math

import numpy as np
import pytest

from delt_exp.encoder.hashing import HashedWords, HashingEncoder
from delt_exp.errors import ConfigError


def test_the_cosine_of_two_texts_is_that_of_their_damped_counts_in_the_mean_over_seeds():
    one, other = "a a b c", "A c c d ,"
    damped = 1 + math.log(2)
    exact = (damped * 1 + 1 * damped) / math.sqrt((damped**2 + 2) * (1 + damped**2 + 2))
    judges = [HashedWords(64, seed) for seed in range(2000)]
    values = [float(judge.vector(one) @ judge.vector(other)) for judge in judges]
    assert np.mean(values) == pytest.approx(exact, abs=3 * np.std(values) / math.sqrt(2000) + 0.005)


def test_order_and_case_do_not_count_and_words_do():
    judge = HashedWords(256, 0)
    np.testing.assert_allclose(judge.vector("one two Three"), judge.vector("three one two"), rtol=1e-6)
    assert judge.vector("one two") @ judge.vector("three four") < 0.5


def test_a_text_without_a_word_and_words_that_cancel_have_a_vector():
    for text in ("   ", "\u0001"):
        assert np.linalg.norm(HashedWords(8, 0).vector(text)) == pytest.approx(1)
    for seed in range(50):
        assert np.linalg.norm(HashedWords(1, seed).vector("a b")) == pytest.approx(1)


def test_a_wrong_setting_is_refused():
    with pytest.raises(ConfigError, match="num_features"):
        HashingEncoder(num_features=0, seed=0)
