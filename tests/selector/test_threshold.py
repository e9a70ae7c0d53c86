"""threshold keeps what is strictly above a value or a quantile."""

import numpy as np
import pytest

from delt_exp.errors import ConfigError
from delt_exp.rows.candidates import Candidates
from delt_exp.selector.threshold import threshold

IDS = np.arange(5, dtype=np.uint64)
SCORES = np.array([0.6, 0.1, 0.7, 0.6, 0.9], dtype=np.float32)


def test_a_score_at_the_value_itself_is_dropped():
    np.testing.assert_array_equal(threshold(Candidates.ungrouped(IDS, SCORES), value=0.6, quantile=None), [2, 4])


@pytest.mark.parametrize(
    ("quantile", "kept"),
    [
        (0.0, [0, 2, 3, 4]),  # above the lowest score
        (0.2, [0, 2, 3, 4]),  # position 0.8 of 0.1, 0.6, 0.6, 0.7, 0.9: between 0.1 and 0.6
        (0.5, [2, 4]),  # position 2: 0.6
        (0.7, [2, 4]),  # position 2.8: between 0.6 and 0.7
        (0.9, [4]),  # position 3.6: between 0.7 and 0.9
    ],
)
def test_a_quantile_cuts_at_its_interpolated_score(quantile, kept):
    np.testing.assert_array_equal(threshold(Candidates.ungrouped(IDS, SCORES), value=None, quantile=quantile), kept)


@pytest.mark.parametrize(("value", "quantile"), [(None, None), (0.5, 0.5)])
def test_none_or_both_of_value_and_quantile_are_refused(value, quantile):
    with pytest.raises(ConfigError, match="exactly one must be a number"):
        threshold(Candidates.ungrouped(IDS, SCORES), value=value, quantile=quantile)


@pytest.mark.parametrize(
    ("value", "quantile", "message"),
    [
        (0.9, None, r"value=0\.9 keeps none of 5 documents: the highest score is 0\.9; lower it"),
        (float("nan"), None, r"threshold\.value=nan"),
        (1e39, None, r"threshold\.value=1e\+39"),
        (None, 1.0, r"threshold\.quantile=1\.0.*\[0, 1\)"),
        (None, -0.1, r"threshold\.quantile=-0\.1.*\[0, 1\)"),
    ],
)
def test_a_cut_that_keeps_nothing_or_is_out_of_range_is_refused(value, quantile, message):
    with pytest.raises(ConfigError, match=message):
        threshold(Candidates.ungrouped(IDS, SCORES), value=value, quantile=quantile)


def test_equal_scores_have_nothing_above_any_quantile():
    with pytest.raises(ConfigError, match=r"quantile=0\.5 keeps none of 5 documents: the highest score is 1"):
        threshold(Candidates.ungrouped(IDS, np.ones(5, dtype=np.float32)), value=None, quantile=0.5)
