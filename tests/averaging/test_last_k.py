"""The points of the mean by hand."""

import numpy as np
import pytest

from delt_exp.averaging.last_k import LastCheckpoints
from delt_exp.errors import ConfigError
from tests.averaging.test_contract import shares


def test_three_points_of_the_last_third_are_evenly_spaced_and_count_alike():
    found = shares(LastCheckpoints(k=3, last_ratio=0.3), 20)  # 6 updates: 2 apart
    assert np.flatnonzero(found).tolist() == [15, 17, 19]  # after updates 16, 18 and 20
    assert found[[15, 17, 19]] == pytest.approx([1 / 3] * 3)


def test_a_share_of_all_updates_is_the_mean_of_all():
    assert shares(LastCheckpoints(k=4, last_ratio=1.0), 4) == pytest.approx([0.25] * 4)


def test_more_points_than_updates_are_refused_with_a_cure():
    with pytest.raises(ConfigError, match=r"last_ratio=0.2 of 20 steps has fewer than averaging.k=5 .*; lower averag"):
        LastCheckpoints(k=5, last_ratio=0.2).check(20)
