"""The ranking equals numpy's lexicographic sort, and counts are those of the written decimal."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from delt_exp.errors import DataError
from delt_exp.rows.ranking import best_rows, check_table, floor_share, rank, rank_ids, spread

# Few distinct values, so that ties are the rule; the ids differ in the upper half, the lower half or both.
IDS = st.sampled_from([0, 1, 2**32, 2**32 + 1, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)
SCORES = st.sampled_from([-1.0, -0.0, 0.0, 1e-45, -1e-45, 3.4e38, -3.4e38]) | st.floats(
    allow_nan=False, allow_infinity=False, width=32
)


@st.composite
def tables(draw, min_size=0):
    size = draw(st.integers(min_size, 40))
    return draw(arrays(np.uint64, size, elements=IDS)), draw(arrays(np.float32, size, elements=SCORES))


@given(tables())
def test_rank_is_lexsort_by_score_then_id_then_row(table):
    ids, scores = table
    np.testing.assert_array_equal(rank(ids, scores), np.lexsort((ids, scores)))


@given(tables())
def test_rank_ids_is_a_stable_argsort(table):
    np.testing.assert_array_equal(rank_ids(table[0]), np.argsort(table[0], kind="stable"))


@given(tables())
def test_rank_leaves_its_input_alone(table):
    ids, scores = table[0].copy(), table[1].copy()
    rank(ids, scores)
    np.testing.assert_array_equal(ids, table[0])
    np.testing.assert_array_equal(scores.view(np.uint32), table[1].view(np.uint32))


def test_rank_of_a_large_table_with_many_ties_is_lexsort():
    rng = np.random.default_rng(0)
    ids = rng.integers(2**64, size=200_000, dtype=np.uint64)
    ids[::7] = ids[0]
    scores = rng.standard_normal(200_000).round(2).astype(np.float32)
    np.testing.assert_array_equal(rank(ids, scores), np.lexsort((ids, scores)))


def test_ties_fall_back_to_id_and_then_to_row():
    ids = np.array([9, 3, 9, 5], dtype=np.uint64)
    scores = np.array([1, 1, 1, -2], dtype=np.float32)
    np.testing.assert_array_equal(rank(ids, scores), [3, 1, 0, 2])


def test_negative_zero_ties_with_zero():
    ids = np.array([1, 2, 3], dtype=np.uint64)
    np.testing.assert_array_equal(rank(ids, np.array([0.0, -0.0, 0.0], dtype=np.float32)), [0, 1, 2])


@given(tables(min_size=1), st.data())
def test_best_rows_are_the_end_of_the_ranking_in_row_order(table, data):
    ids, scores = table
    num_rows = data.draw(st.integers(1, len(ids)))
    expected = np.sort(np.lexsort((ids, scores))[-num_rows:])
    np.testing.assert_array_equal(best_rows(ids, scores, num_rows), expected)


@pytest.mark.parametrize(
    ("ratio", "num_rows", "expected"),
    [
        (0.29, 100, 29),
        (0.57, 100, 57),
        (1.15e-3, 2000, 2),
        (0.9999999995, 10**9, 999_999_999),
        (1 / 3, 3, 1),
        (0.1, 9, 0),
        (1.0, 7, 7),
        (0.3, 0, 0),
    ],
)
def test_a_share_is_rounded_down_from_the_written_decimal(ratio, num_rows, expected):
    assert floor_share(ratio, num_rows) == expected


@given(st.integers(0, 10**6), st.integers(0, 10**9))
def test_a_share_of_six_decimals_is_exact_up_to_a_billion_rows(millionths, num_rows):
    ratio = float(f"{millionths}e-6")
    assert floor_share(ratio, num_rows) == Fraction(millionths, 10**6) * num_rows // 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_named_with_its_row(bad):
    scores = np.array([0, 1, bad, 2], dtype=np.float32)
    with pytest.raises(DataError, match=rf"row 2 is {bad}"):
        rank(np.arange(4, dtype=np.uint64), scores)


def test_large_finite_scores_pass():
    check_table(np.arange(3, dtype=np.uint64), np.full(3, 3.4e38, dtype=np.float32))


@pytest.mark.parametrize(
    ("ids", "scores"),
    [
        (np.arange(3, dtype=np.uint64), np.zeros(2, dtype=np.float32)),
        (np.arange(3, dtype=np.int64), np.zeros(3, dtype=np.float32)),
        (np.arange(3, dtype=np.uint64), np.zeros(3, dtype=np.float64)),
        (np.zeros((2, 2), dtype=np.uint64), np.zeros((2, 2), dtype=np.float32)),
    ],
)
def test_arrays_that_do_not_form_a_table_are_refused(ids, scores):
    with pytest.raises(DataError, match=r"pass uint64 \[N\] and float32 \[N\]"):
        rank(ids, scores)


def test_more_rows_than_a_position_can_count_are_refused_without_touching_them():
    ids = np.broadcast_to(np.uint64(0), 2**32 + 1)
    with pytest.raises(DataError, match="4294967297 documents are too many"):
        check_table(ids, np.broadcast_to(np.float32(0), 2**32 + 1))


@pytest.mark.parametrize("count", [2, 300, 2_000_000])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e5])
def test_the_spread_of_many_scores_is_their_standard_deviation(count, scale):
    values = (scale * np.random.default_rng(0).standard_normal(count)).astype(np.float32)
    assert spread(values) == pytest.approx(float(values.astype(np.float64).std()))


@pytest.mark.parametrize("seed", range(3))
def test_neither_outliers_nor_a_large_mean_make_scores_equal(seed):
    draws = np.random.default_rng(seed)
    for values in (draws.standard_t(2, 300_000), 4 + 0.1 * draws.standard_normal(300_000)):
        assert spread(values.astype(np.float32)) == pytest.approx(values.std(), rel=1e-3)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0.0, 0.7, -3e5, 3.4e38, float(np.finfo(np.float32).max)])
def test_values_that_only_rounding_sets_apart_have_no_spread(value):
    steps = [np.float32(value)]
    for _ in range(50):
        steps.append(np.nextafter(steps[-1], np.float32(-np.inf)))
    assert spread(np.array(steps, np.float32)) == 0
    assert spread(np.array([*steps, value - max(1.0, abs(value)) / 2], np.float32)) > 0
    assert spread(np.zeros(0, np.float32)) == 0
