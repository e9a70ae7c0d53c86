"""sorting goes by score, ties by id."""

import numpy as np
import pytest

from delt_exp.errors import ConfigError
from delt_exp.orderer.sorting import sorting
from delt_exp.rows.candidates import Candidates

IDS = np.array([8, 2, 5, 1], dtype=np.uint64)
SCORES = np.array([0.5, 0.5, -1, 3], dtype=np.float32)


def test_ascending_starts_with_the_lowest_score():
    np.testing.assert_array_equal(sorting(Candidates.ungrouped(IDS, SCORES), ascending=True), [2, 1, 0, 3])


def test_descending_starts_with_the_highest_score_and_keeps_ties_by_ascending_id():
    np.testing.assert_array_equal(sorting(Candidates.ungrouped(IDS, SCORES), ascending=False), [3, 1, 0, 2])


def test_a_direction_that_is_not_true_or_false_is_refused():
    with pytest.raises(ConfigError, match=r"sorting\.ascending='no'"):
        sorting(Candidates.ungrouped(IDS, SCORES), ascending="no")
