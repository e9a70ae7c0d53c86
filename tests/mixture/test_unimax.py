"""UniMax by hand, its caps, and what they cannot fill."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delt_exp.errors import ConfigError
from delt_exp.mixture.unimax import unimax
from tests.mixture.planted import sources


def test_unimax_on_three_sources_by_hand():
    # Budget 1000, at most 4 epochs. web: 1000/3 > 4 * 50, so 200. news: (1000 - 200)/2 = 400 = 4 * 100. code: 400.
    np.testing.assert_allclose(unimax(sources(10_000, 100, 50), max_epochs=4), [0.4, 0.4, 0.2])


def test_unimax_gives_what_capped_sources_cannot_take_to_the_larger_ones():
    # 50 * 2 = 100, 100 * 2 = 200, and the largest has the other 700.
    np.testing.assert_allclose(unimax(sources(50, 100, 10_000), max_epochs=2), [0.1, 0.2, 0.7])


def test_unimax_without_a_source_at_its_cap_is_uniform():
    np.testing.assert_allclose(unimax(sources(1000, 2000, 3000), max_epochs=1), [1 / 3] * 3)


@given(
    tokens=st.lists(st.integers(1, 10**9), min_size=3, max_size=3), max_epochs=st.floats(0.1, 50),
    part=st.floats(0.001, 1),
)  # fmt: skip
def test_unimax_sums_to_1_keeps_its_caps_and_never_gives_a_larger_source_less(tokens, max_epochs, part):
    found = sources(*tokens, budget_tokens=max(int(part * max_epochs * sum(tokens)), 1))
    if found.budget_tokens > max_epochs * sum(tokens):
        return
    shares = unimax(found, max_epochs=max_epochs)
    assert shares.sum() == pytest.approx(1)
    assert (found.epochs(shares) <= max_epochs * (1 + 1e-9)).all()
    assert (np.diff(shares[np.argsort(tokens, kind="stable")]) >= -1e-12).all()


def test_unimax_refuses_a_budget_that_its_epochs_do_not_fill():
    with pytest.raises(ConfigError, match=r"max_epochs=2 epochs of all sources are 600 tokens, fewer than the 1000"):
        unimax(sources(100, 200), max_epochs=2)


def test_epochs_say_how_often_a_source_is_read():
    np.testing.assert_allclose(sources(50, 100, 10_000).epochs(np.array([0.1, 0.2, 0.7])), [2, 2, 0.07])


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
def test_a_number_of_epochs_that_is_none_is_refused(value):
    with pytest.raises(ConfigError, match="max_epochs="):
        unimax(sources(1, 2), max_epochs=value)
