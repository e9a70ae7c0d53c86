"""Draws depend on the seed and the id, never on the rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delt_exp.draws import generator, occurrence, uniform_per_id
from delt_exp.errors import ConfigError


def make_ids(values):
    return np.array(values, dtype=np.uint64)


def test_occurrence_counts_the_earlier_rows_of_the_same_id():
    np.testing.assert_array_equal(occurrence(make_ids([5, 7, 5, 5, 7, 1])), [0, 0, 1, 2, 1, 0])
    assert occurrence(make_ids([])).shape == (0,)


@given(st.lists(st.integers(0, 2**64 - 1), unique=True), st.integers(0, 2**40), st.randoms())
def test_a_document_keeps_its_number_wherever_its_row_is(ids, seed, random):
    shuffled = random.sample(ids, len(ids))
    before = dict(zip(ids, uniform_per_id(make_ids(ids), seed), strict=True))
    after = dict(zip(shuffled, uniform_per_id(make_ids(shuffled), seed), strict=True))
    assert before == after


def test_a_document_keeps_its_number_when_others_leave():
    ids = np.arange(100, dtype=np.uint64)
    np.testing.assert_array_equal(uniform_per_id(ids[::3], 1), uniform_per_id(ids, 1)[::3])


def test_copies_of_a_document_get_numbers_of_their_own():
    assert len(np.unique(uniform_per_id(np.full(1000, 42, dtype=np.uint64), 0))) == 1000


def test_numbers_are_uniform_and_unrelated_between_seeds_neighbours_and_copies():
    count = 100_000
    ids = np.arange(count, dtype=np.uint64)
    first, second = uniform_per_id(ids, 0), uniform_per_id(ids, 1)
    copies = uniform_per_id(np.zeros(count, dtype=np.uint64), 0)
    for numbers in (first, second, copies):
        assert numbers.min() > 0
        assert numbers.max() < 1
        # The largest gap to the uniform distribution exceeds 2.2 / sqrt(N) once in 10,000 samples.
        assert np.abs(np.sort(numbers) - (np.arange(count) + 0.5) / count).max() < 2.2 / count**0.5
    for other in (second, np.roll(first, 1), copies):
        assert abs(np.corrcoef(first, other)[0, 1]) < 4 / count**0.5


@pytest.mark.parametrize("seed", [-1, 1.5, None, "0"])
def test_a_seed_that_is_not_a_whole_number_from_0_is_refused(seed):
    with pytest.raises(ConfigError, match=r"seed=.*whole number of at least 0"):
        generator(seed)
