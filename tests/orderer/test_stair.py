"""stair folds a window around each section boundary of the sorted list."""

import numpy as np
import pytest

from delt_exp.errors import ConfigError
from delt_exp.orderer.stair import stair
from delt_exp.rows.candidates import Candidates


def make_stair(length, num_sections, window_ratio, num_layers, ascending=True):
    ids, scores = np.arange(length, dtype=np.uint64), np.arange(length, dtype=np.float32)
    settings = {"num_sections": num_sections, "window_ratio": window_ratio, "num_layers": num_layers}
    return stair(Candidates.ungrouped(ids, scores), **settings, ascending=ascending)


@pytest.mark.parametrize(
    ("length", "num_sections", "window_ratio", "num_layers", "expected"),
    [
        (12, 2, 0.25, 3, [0, 1, 2, 3, 6, 4, 7, 5, 8, 9, 10, 11]),
        # Boundaries 4 and 8, reach 2: windows 2..5 and 6..9.
        (12, 3, 1 / 6, 2, [0, 1, 2, 4, 3, 5, 6, 8, 7, 9, 10, 11]),
        # Boundaries 4 and 8, reach 3: windows 1..6 and, clipped to the end of the first, 7..10.
        (12, 3, 0.25, 2, [0, 1, 3, 5, 2, 4, 6, 7, 9, 8, 10, 11]),
        # Boundaries 4 (3.67) and 7 (7.33), reach 2 (1.98): windows 2..5 and 6..8.
        (11, 3, 0.18, 2, [0, 1, 2, 4, 3, 5, 6, 8, 7, 9, 10]),
        # Boundary 2 (2.5 to even), reach 2 (2.5 to even): window 0..3.
        (5, 2, 0.5, 2, [0, 2, 1, 3, 4]),
        # The window is all of the list, and clipped to it.
        (6, 2, 1.0, 2, [0, 2, 4, 1, 3, 5]),
        # More sections than documents: boundaries 0, 1, 1, 2, 2 with reach 1 (0.75) give windows 0, 1, 2.
        (3, 6, 0.25, 3, [0, 1, 2]),
        (8, 1, 0.4, 3, list(range(8))),
        (8, 4, 0.0, 3, list(range(8))),
        (0, 2, 0.225, 3, []),
    ],
)
def test_windows_are_folded_and_the_rest_stays_sorted(length, num_sections, window_ratio, num_layers, expected):
    np.testing.assert_array_equal(make_stair(length, num_sections, window_ratio, num_layers), expected)


def test_descending_begins_with_the_highest_score():
    expected = [11, 10, 9, 8, 5, 7, 4, 6, 3, 2, 1, 0]
    np.testing.assert_array_equal(make_stair(12, 2, 0.25, 3, ascending=False), expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((0, 0.2, 3), r"stair\.num_sections=0"),
        ((2, -0.1, 3), r"stair\.window_ratio=-0\.1.*\[0, 1\]"),
        ((2, 1.5, 3), r"stair\.window_ratio=1\.5.*\[0, 1\]"),
        ((2, 0.2, 0), r"stair\.num_layers=0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        make_stair(12, *settings)
