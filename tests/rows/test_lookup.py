"""Rows of a table by their keys, against a search one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delt_exp.rows.lookup import looked_up

KEYS = st.lists(st.sampled_from([0, 1, 5, 2**63, 2**64 - 1]))


@given(KEYS, KEYS)
def test_a_key_is_where_a_search_from_the_beginning_meets_it(keys, wanted):
    rows = looked_up(np.array(keys, np.uint64), np.array(wanted, np.uint64))
    assert rows.tolist() == [keys.index(key) if key in keys else -1 for key in wanted]


@pytest.mark.parametrize("kind", [np.uint64, np.int64])
def test_an_empty_table_has_nothing(kind):
    assert looked_up(np.zeros(0, kind), np.arange(3, dtype=kind)).tolist() == [-1, -1, -1]


def test_signed_keys_are_compared_to_the_last_bit():
    keys = np.array([2**60 + 1, 2**60], np.int64)
    assert looked_up(keys, np.array([2**60, 2**60 + 1, 2**60 + 2], np.uint64)).tolist() == [1, 0, -1]
