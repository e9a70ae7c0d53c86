"""The exponential average by hand."""

import pytest

from delt_exp.averaging.ema import ExponentialAverage
from tests.averaging.test_contract import shares


def test_of_three_updates_each_counts_half_as_much_as_the_next():
    assert shares(ExponentialAverage(decay=0.5), 3) == pytest.approx([1 / 7, 2 / 7, 4 / 7])


def test_the_first_weights_enter_whole_so_that_the_initial_ones_have_no_part():
    assert ExponentialAverage(decay=0.999).share(1, 500) == 1.0
