"""folding strings the layers s[i::L] of the sorted list together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delt_exp.errors import ConfigError
from delt_exp.orderer.folding import fold, folding
from delt_exp.rows.candidates import Candidates


def make_ranked(length):
    """Documents whose row is their rank."""
    return Candidates.ungrouped(np.arange(length, dtype=np.uint64), np.arange(length, dtype=np.float32))


@pytest.mark.parametrize(
    ("length", "num_layers", "expected"),
    [
        (10, 3, [0, 3, 6, 9, 1, 4, 7, 2, 5, 8]),
        (6, 2, [0, 2, 4, 1, 3, 5]),
        (5, 4, [0, 4, 1, 2, 3]),
        (4, 1, [0, 1, 2, 3]),
        (4, 4, [0, 1, 2, 3]),
        (3, 5, [0, 1, 2]),
        (0, 3, []),
    ],
)
def test_layers_follow_one_another(length, num_layers, expected):
    ranked = make_ranked(length)
    np.testing.assert_array_equal(folding(ranked, num_layers=num_layers, ascending=True), expected)


def test_descending_folds_from_the_highest_score():
    ranked = make_ranked(7)
    np.testing.assert_array_equal(folding(ranked, num_layers=2, ascending=False), [6, 4, 2, 0, 5, 3, 1])


def test_unsorted_rows_are_ranked_first():
    ids, scores = np.arange(5, dtype=np.uint64), np.array([0.3, 0.1, 0.5, 0.2, 0.4], dtype=np.float32)
    # The ranking is 1 3 0 4 2.
    np.testing.assert_array_equal(
        folding(Candidates.ungrouped(ids, scores), num_layers=2, ascending=True), [1, 0, 2, 3, 4]
    )


@given(st.integers(0, 60), st.integers(1, 70))
def test_the_fold_is_a_stable_sort_of_ranks_by_residue(length, num_layers):
    expected = sorted(range(length), key=lambda position: position % num_layers)
    np.testing.assert_array_equal(fold(np.arange(length), num_layers), expected)


@pytest.mark.parametrize("num_layers", [0, -1, 2.5])
def test_less_than_one_layer_is_refused(num_layers):
    ranked = make_ranked(4)
    with pytest.raises(ConfigError, match=r"folding\.num_layers=.*at least 1"):
        folding(ranked, num_layers=num_layers, ascending=True)
