"""Similarity of embeddings, by hand and by its symmetries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from delt_exp.alignment.task2vec.distance import plain_cosine, scaled_cosine
from tests.alignment.task2vec.published import published_cosine

positive = arrays(np.float32, 5, elements=st.floats(0.015625, 4, width=32))


def test_values_worked_by_hand():
    # Scaled: s0 = (1/5, 1/2, 4/5), s1 = (4/5, 1/2, 1/5): 0.57 / 0.93. Plain: (4 + 4 + 4) / 21.
    h0, h1 = np.array([[1, 2, 4]], np.float32), np.array([[4, 2, 1]], np.float32)
    assert 1 - scaled_cosine(h0, h1)[0, 0] == pytest.approx(0.3870968, abs=1e-7)
    assert 1 - plain_cosine(h0, h1)[0, 0] == pytest.approx(0.4285714, abs=1e-7)


@pytest.mark.slow
@given(h0=positive, h1=positive)
def test_similarity_is_symmetric_and_one_for_equal_embeddings(h0, h1):
    for similarity in (scaled_cosine, plain_cosine):
        table = similarity(np.stack([h0, h1]), np.stack([h0, h1]))
        assert table == pytest.approx(table.T, abs=1e-12)
        assert np.diag(table) == pytest.approx([1, 1], abs=1e-7)
        assert (table <= 1 + 1e-9).all()


@pytest.mark.slow
@given(h0=positive, h1=positive, factor=st.floats(1e-12, 1e6))
def test_the_scale_of_the_fisher_does_not_matter(h0, h1, factor):
    similarity = scaled_cosine(h0[None], h1[None])
    rescaled = [(h * np.float64(factor)).astype(np.float64)[None] for h in (h0, h1)]
    assert scaled_cosine(*rescaled) == pytest.approx(similarity, rel=1e-5)


def test_the_absolute_epsilon_of_the_published_code_hides_small_filters_and_ours_does_not():
    # Filters of 1e-8: s0 = (1/2, 1/3) and s1 = (0, 1/3) instead of (1, 1/2) and (0, 1/2).
    h0, h1 = np.array([[1e-8, 1e-8]], np.float32), np.array([[0, 1e-8]], np.float32)
    assert published_cosine(h0[0], h1[0]) == pytest.approx(1 / 3 / np.sqrt(1 / 4 + 1 / 9), rel=1e-6)
    assert scaled_cosine(h0, h1)[0, 0] == pytest.approx(0.5 / np.sqrt(1.25), rel=1e-6)


def test_filters_that_are_zero_in_both_do_not_count():
    h0, h1 = np.array([[1, 2, 4]], np.float32), np.array([[4, 2, 1]], np.float32)
    padded = [np.concatenate([h, np.zeros((1, 50), np.float32)], axis=1) for h in (h0, h1)]
    expected = scaled_cosine(h0, h1)[0, 0]
    assert scaled_cosine(*padded)[0, 0] == pytest.approx(expected, abs=1e-7)
