"""Shares by temperature: natural ones at 1, equal ones when it is hot."""

import math

import numpy as np
import pytest

from delt_exp.errors import ConfigError
from delt_exp.mixture.temperature import temperature
from tests.mixture.planted import sources


def test_temperature_1_gives_natural_shares():
    np.testing.assert_allclose(temperature(sources(100, 300, 600), temperature=1), [0.1, 0.3, 0.6])


def test_temperature_2_gives_shares_of_square_roots():
    np.testing.assert_allclose(temperature(sources(100, 400, 900), temperature=2), [1 / 6, 2 / 6, 3 / 6])


def test_a_hot_mixture_is_uniform_and_a_cold_one_has_the_largest_source():
    np.testing.assert_allclose(temperature(sources(1, 10**6, 10**12), temperature=1e12), [1 / 3] * 3, atol=1e-9)
    np.testing.assert_allclose(temperature(sources(1, 10, 11), temperature=1e-3), [0, 0, 1], atol=1e-9)
    np.testing.assert_array_equal(temperature(sources(10, 11, 11), temperature=1e-320), [0, 0.5, 0.5])


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
def test_a_temperature_that_is_none_is_refused(value):
    with pytest.raises(ConfigError, match="temperature="):
        temperature(sources(1, 2), temperature=value)
