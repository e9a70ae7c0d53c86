"""quota keeps the best of each source."""

import numpy as np
import pytest

from delt_exp.errors import ConfigError
from delt_exp.rows.candidates import Candidates
from delt_exp.selector.quota import quota

# Sources a (6 documents), b (3) and c (1); goodness falls from the first to the last row.
TABLE = Candidates(
    np.arange(10, dtype=np.uint64), -np.arange(10, dtype=np.float32), np.array([0] * 6 + [1] * 3 + [2]), ["a", "b", "c"]
)


def counts(**settings):
    kept = quota(TABLE, unit="documents", **settings)
    return np.bincount(TABLE.groups[kept], minlength=3).tolist(), kept.tolist()


def test_the_best_of_each_source_stay_in_proportion_to_its_documents():
    # 5 * (0.6, 0.3, 0.1) = 3, 1.5, 0.5: of the equal remainders the first name gets the last place
    assert counts(ratio=0.5, shares="proportional") == ([3, 2, 0], [0, 1, 2, 6, 7])


def test_equal_shares():
    assert counts(ratio=0.3, shares="equal") == ([1, 1, 1], [0, 6, 9])


def test_given_shares_and_0_keeps_none():
    assert counts(ratio=0.4, shares={"a": 0.25, "b": 0.75, "c": 0.0}) == ([1, 3, 0], [0, 6, 7, 8])


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"a": 0.5, "b": 0.5}, "must name each source once: a, b, c; c is missing"),
        ({"a": 0.5, "b": 0.5, "c": 0.0, "d": 0.0}, "d is missing or unknown"),
        ({"a": 0.5, "b": 0.4, "c": 0.0}, "sum to 0.9; let them sum to 1"),
        ({"a": 0.5, "b": 0.0, "c": 0.5}, "source 'c' 2 of 5 documents, but it has 1"),
        ("half", r"quota.shares='half' is not allowed"),
    ],
)
def test_shares_that_do_not_fit_are_refused(shares, message):
    with pytest.raises(ConfigError, match=message):
        quota(TABLE, unit="documents", ratio=0.5, shares=shares)
