"""top_k keeps k best documents."""

import numpy as np
import pytest

from delt_exp.errors import ConfigError
from delt_exp.rows.candidates import Candidates
from delt_exp.selector.top_k import top_k

IDS = np.array([10, 11, 12, 13], dtype=np.uint64)
SCORES = np.array([3, 1, 3, 2], dtype=np.float32)


@pytest.mark.parametrize(("k", "kept"), [(1, [2]), (2, [0, 2]), (3, [0, 2, 3]), (4, [0, 1, 2, 3])])
def test_the_best_k_stay_in_row_order(k, kept):
    np.testing.assert_array_equal(top_k(Candidates.ungrouped(IDS, SCORES), unit="documents", k=k), kept)


def test_the_higher_id_wins_a_tie_whatever_its_row():
    np.testing.assert_array_equal(
        top_k(Candidates.ungrouped(IDS[::-1].copy(), SCORES[::-1].copy()), unit="documents", k=1), [1]
    )


@pytest.mark.parametrize("k", [0, -1, 1.5, "2"])
def test_k_below_1_or_not_whole_is_refused(k):
    with pytest.raises(ConfigError, match=r"top_k\.k=.*whole number of at least 1"):
        top_k(Candidates.ungrouped(IDS, SCORES), unit="documents", k=k)


def test_k_above_the_corpus_is_refused_with_the_size_of_the_corpus():
    with pytest.raises(ConfigError, match=r"selector\.k=5 is more than the 4 documents.*at most 4"):
        top_k(Candidates.ungrouped(IDS, SCORES), unit="documents", k=5)
