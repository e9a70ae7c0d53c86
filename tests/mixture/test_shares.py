"""Shares of sources by every mixture: known answers by hand, and what is refused."""

import math

import numpy as np
import pytest
from hypothesis import given as given_draws
from hypothesis import strategies as st

from delt_exp.errors import ConfigError
from delt_exp.mixture.dirichlet import dirichlet
from delt_exp.mixture.given import given
from delt_exp.mixture.none import none
from delt_exp.mixture.sources import Sources
from delt_exp.mixture.temperature import temperature
from delt_exp.mixture.uniform import uniform
from delt_exp.mixture.unimax import unimax

NAMES = ("code", "news", "web")


def sources(*tokens, budget_tokens=1000):
    return Sources(NAMES[: len(tokens)], np.array(tokens, np.int64), budget_tokens)


def drawn(found, draw=0, seed=0, least=1.0, most=16.0):
    return dirichlet(found, draw=draw, least_concentration=least, most_concentration=most, seed=seed)


def test_no_mixture_leaves_the_order_as_it_is():
    assert none(sources(1, 2, 3)) is None


def test_temperature_1_gives_natural_shares():
    np.testing.assert_allclose(temperature(sources(100, 300, 600), temperature=1), [0.1, 0.3, 0.6])


def test_temperature_2_gives_shares_of_square_roots():
    np.testing.assert_allclose(temperature(sources(100, 400, 900), temperature=2), [1 / 6, 2 / 6, 3 / 6])


def test_a_hot_mixture_is_uniform_and_a_cold_one_has_the_largest_source():
    np.testing.assert_allclose(temperature(sources(1, 10**6, 10**12), temperature=1e12), [1 / 3] * 3, atol=1e-9)
    np.testing.assert_allclose(temperature(sources(1, 10, 11), temperature=1e-3), [0, 0, 1], atol=1e-9)


def test_uniform_shares_are_equal():
    np.testing.assert_allclose(uniform(sources(1, 10, 100)), [1 / 3] * 3)


def test_unimax_on_three_sources_by_hand():
    # Budget 1000, at most 4 epochs. web: 1000/3 > 4 * 50, so 200. news: (1000 - 200)/2 = 400 = 4 * 100. code: 400.
    np.testing.assert_allclose(unimax(sources(10_000, 100, 50), max_epochs=4), [0.4, 0.4, 0.2])


def test_unimax_gives_what_capped_sources_cannot_take_to_the_larger_ones():
    # 50 * 2 = 100, 100 * 2 = 200, and the largest has the other 700.
    np.testing.assert_allclose(unimax(sources(50, 100, 10_000), max_epochs=2), [0.1, 0.2, 0.7])


def test_unimax_without_a_source_at_its_cap_is_uniform():
    np.testing.assert_allclose(unimax(sources(1000, 2000, 3000), max_epochs=1), [1 / 3] * 3)


@given_draws(
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


def test_given_shares_are_taken_by_name():
    np.testing.assert_allclose(given(sources(1, 2, 3), shares={"web": 0.7, "code": 0.3, "news": 0}), [0.3, 0, 0.7])


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        (None, "mixture.shares is null"),
        ({"code": 0.5, "news": 0.5}, "web is missing or unknown"),
        ({"code": 0.5, "news": 0.25, "web": 0.25, "law": 0}, "law is missing or unknown"),
        ({"code": 0.5, "news": 0.5, "web": 0.5}, "sum to 1.5"),
        ({"code": 1.5, "news": -0.5, "web": 0}, "shares.code=1.5"),
    ],
)
def test_shares_that_do_not_fit_are_refused(shares, message):
    with pytest.raises(ConfigError, match=message):
        given(sources(1, 2, 3), shares=shares)


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
def test_a_temperature_or_a_number_of_epochs_that_is_none_is_refused(value):
    with pytest.raises(ConfigError, match="temperature="):
        temperature(sources(1, 2), temperature=value)
    with pytest.raises(ConfigError, match="max_epochs="):
        unimax(sources(1, 2), max_epochs=value)


def test_drawn_mixtures_differ_by_draw_and_seed_and_repeat():
    found = sources(100, 300, 600)
    np.testing.assert_array_equal(drawn(found), drawn(found))
    assert not np.allclose(drawn(found), drawn(found, draw=1))
    assert not np.allclose(drawn(found), drawn(found, seed=1))


def test_the_mean_of_drawn_mixtures_is_the_natural_one():
    # The variance of a share is at most p (1 - p) / (1 + 1): the error of a mean of 1,000 is below 0.012.
    mean = np.mean([drawn(sources(100, 300, 600), draw=draw) for draw in range(1000)], axis=0)
    np.testing.assert_allclose(mean, [0.1, 0.3, 0.6], atol=0.045)


def test_a_large_concentration_stays_near_the_natural_shares():
    np.testing.assert_allclose(drawn(sources(100, 300, 600), least=1e6, most=1e6), [0.1, 0.3, 0.6], atol=0.005)


def test_a_least_concentration_above_the_most_is_refused():
    with pytest.raises(ConfigError, match="exchange them"):
        drawn(sources(1, 2), least=2.0, most=1.0)
