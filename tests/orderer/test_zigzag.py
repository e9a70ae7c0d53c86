"""zigzag is folding with every second layer reversed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delt_exp.errors import ConfigError
from delt_exp.orderer.zigzag import zigzag, zigzag_fold
from delt_exp.rows.candidates import Candidates


def make_ranked(length):
    """Documents whose row is their rank."""
    return Candidates.ungrouped(np.arange(length, dtype=np.uint64), np.arange(length, dtype=np.float32))


@pytest.mark.parametrize(
    ("length", "num_layers", "expected"),
    [
        (10, 3, [0, 3, 6, 9, 7, 4, 1, 2, 5, 8]),
        (12, 5, [0, 5, 10, 11, 6, 1, 2, 7, 8, 3, 4, 9]),
        (6, 2, [0, 2, 4, 5, 3, 1]),
        (4, 1, [0, 1, 2, 3]),
        (3, 5, [0, 1, 2]),
        (0, 5, []),
    ],
)
def test_odd_layers_run_backwards(length, num_layers, expected):
    ranked = make_ranked(length)
    np.testing.assert_array_equal(zigzag(ranked, num_layers=num_layers, ascending=True), expected)


def test_descending_goes_down_first():
    ranked = make_ranked(5)
    np.testing.assert_array_equal(zigzag(ranked, num_layers=2, ascending=False), [4, 2, 0, 1, 3])


@given(st.integers(1, 20), st.integers(1, 6))
def test_neighbours_are_never_further_apart_than_one_step_of_a_layer(rounds, num_layers):
    # Whole rounds: no layer ends early, so that each turn moves by one rank.
    steps = np.abs(np.diff(zigzag_fold(np.arange(rounds * num_layers), num_layers)))
    assert not len(steps) or steps.max() <= num_layers


def test_less_than_one_layer_is_refused():
    ranked = make_ranked(4)
    with pytest.raises(ConfigError, match=r"zigzag\.num_layers=0"):
        zigzag(ranked, num_layers=0, ascending=True)
