"""Drawn mixtures lie around the natural one, and each draw is repeated."""

import numpy as np
import pytest

from delt_exp.errors import ConfigError
from delt_exp.mixture.dirichlet import dirichlet
from tests.mixture.planted import sources


def drawn(found, draw=0, seed=0, least=1.0, most=16.0):
    return dirichlet(found, draw=draw, least_concentration=least, most_concentration=most, seed=seed)


def test_drawn_mixtures_differ_by_draw_and_seed_and_repeat():
    found = sources(100, 300, 600)
    np.testing.assert_array_equal(drawn(found), drawn(found))
    assert not np.allclose(drawn(found), drawn(found, draw=1))
    assert not np.allclose(drawn(found), drawn(found, seed=1))


def test_the_mean_of_drawn_mixtures_is_the_natural_one():
    # The variance of a share is at most p (1 - p) / 2, so that the error of a mean of 1,000 is at most 0.011.
    mean = np.mean([drawn(sources(100, 300, 600), draw=draw) for draw in range(1000)], axis=0)
    np.testing.assert_allclose(mean, [0.1, 0.3, 0.6], atol=0.045)


def test_a_large_concentration_stays_near_the_natural_shares():
    np.testing.assert_allclose(drawn(sources(100, 300, 600), least=1e6, most=1e6), [0.1, 0.3, 0.6], atol=0.005)


def test_a_least_concentration_above_the_most_is_refused():
    with pytest.raises(ConfigError, match="exchange them"):
        drawn(sources(1, 2), least=2.0, most=1.0)
