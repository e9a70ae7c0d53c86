"""Shares by hand, by name."""

import numpy as np
import pytest

from delt_exp.errors import ConfigError
from delt_exp.mixture.given import given
from tests.mixture.planted import sources


def contract_overrides(folder):
    return ["mixture.shares={code: 0.2, news: 0.3, web: 0.5}"]


def test_given_shares_are_taken_by_name():
    np.testing.assert_allclose(given(sources(1, 2, 3), shares={"web": 0.7, "code": 0.3, "news": 0}), [0.3, 0, 0.7])


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        (None, "mixture.shares is null"),
        ({"code": 0.5, "news": 0.5}, "web has no share"),
        ({"code": 0.5, "news": 0.25, "web": 0.25, "law": 0}, "law has no document, or none that is kept"),
        ({"code": 0.5, "news": 0.5, "web": 0.5}, "sum to 1.5"),
        ({"code": 1.5, "news": -0.5, "web": 0}, "shares.code=1.5"),
    ],
)
def test_shares_that_do_not_fit_are_refused(shares, message):
    with pytest.raises(ConfigError, match=message):
        given(sources(1, 2, 3), shares=shares)
