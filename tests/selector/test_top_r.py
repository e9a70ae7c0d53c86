"""top_r keeps floor(ratio * N) best documents."""

import numpy as np
import pytest

from delt_exp.errors import ConfigError
from delt_exp.rows.candidates import Candidates
from delt_exp.selector.top_r import top_r

IDS = np.array([4, 3, 2, 1, 0], dtype=np.uint64)
SCORES = np.array([0.5, -1, 2, 0.5, 0], dtype=np.float32)


@pytest.mark.parametrize(
    ("ratio", "kept"),
    [
        (0.2, [2]),
        (0.4, [0, 2]),  # rows 0 and 3 tie at 0.5; row 0 has the higher id
        (0.6, [0, 2, 3]),
        (0.79, [0, 2, 3]),  # 3.95 documents
        (0.8, [0, 2, 3, 4]),
        (1.0, [0, 1, 2, 3, 4]),
    ],
)
def test_the_best_share_stays_in_row_order(ratio, kept):
    np.testing.assert_array_equal(top_r(Candidates.ungrouped(IDS, SCORES), unit="documents", ratio=ratio), kept)


def test_29_percent_of_100_documents_are_29():
    ids = np.arange(100, dtype=np.uint64)
    np.testing.assert_array_equal(
        top_r(Candidates.ungrouped(ids, np.arange(100, dtype=np.float32)), unit="documents", ratio=0.29),
        np.arange(71, 100),
    )


@pytest.mark.parametrize("ratio", [0, -0.5, 1.5, float("nan"), "half"])
def test_a_ratio_outside_its_range_is_refused(ratio):
    with pytest.raises(ConfigError, match=r"top_r\.ratio=.*\(0, 1\]"):
        top_r(Candidates.ungrouped(IDS, SCORES), unit="documents", ratio=ratio)


def test_a_ratio_that_keeps_nothing_is_refused_with_the_corpus_size_that_it_needs():
    with pytest.raises(ConfigError, match=r"0\.15 keeps none of 5 documents.*at least 7 documents"):
        top_r(Candidates.ungrouped(IDS, SCORES), unit="documents", ratio=0.15)
