"""saw walks a window around each section boundary of the sorted list in zigzag."""

import numpy as np
import pytest

from delt_exp.errors import ConfigError
from delt_exp.orderer.saw import saw
from delt_exp.rows.candidates import Candidates


def make_saw(length, num_sections, window_ratio, num_layers, ascending=True):
    ids, scores = np.arange(length, dtype=np.uint64), np.arange(length, dtype=np.float32)
    settings = {"num_sections": num_sections, "window_ratio": window_ratio, "num_layers": num_layers}
    return saw(Candidates.ungrouped(ids, scores), **settings, ascending=ascending)


@pytest.mark.parametrize(
    ("length", "num_sections", "window_ratio", "num_layers", "expected"),
    [
        # Window 3..8 in layers 3 6 | 7 4 | 5 8.
        (12, 2, 0.25, 3, [0, 1, 2, 3, 6, 7, 4, 5, 8, 9, 10, 11]),
        # Boundaries 4 and 8, reach 2: windows 2 4 | 5 3 and 6 8 | 9 7.
        (12, 3, 1 / 6, 2, [0, 1, 2, 4, 5, 3, 6, 8, 9, 7, 10, 11]),
        # The second window is clipped to the end of the first: 1 3 5 | 6 4 2 and 7 9 | 10 8.
        (12, 3, 0.25, 2, [0, 1, 3, 5, 6, 4, 2, 7, 9, 10, 8, 11]),
        (8, 1, 0.4, 2, list(range(8))),
        (0, 3, 0.075, 2, []),
    ],
)
def test_windows_go_up_and_down_and_the_rest_stays_sorted(length, num_sections, window_ratio, num_layers, expected):
    np.testing.assert_array_equal(make_saw(length, num_sections, window_ratio, num_layers), expected)


def test_descending_begins_with_the_highest_score():
    expected = [11, 10, 9, 8, 5, 4, 7, 6, 3, 2, 1, 0]
    np.testing.assert_array_equal(make_saw(12, 2, 0.25, 3, ascending=False), expected)


@pytest.mark.parametrize("settings", [(0, 0.2, 2), (3, 1.5, 2), (3, 0.2, 0)])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ConfigError, match=r"saw\.(num_sections|window_ratio|num_layers)="):
        make_saw(12, *settings)
