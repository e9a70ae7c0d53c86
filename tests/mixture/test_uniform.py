"""Equal shares, however large the sources are."""

import numpy as np

from delt_exp.mixture.uniform import uniform
from tests.mixture.planted import sources


def test_uniform_shares_are_equal():
    np.testing.assert_allclose(uniform(sources(1, 10, 100)), [1 / 3] * 3)
