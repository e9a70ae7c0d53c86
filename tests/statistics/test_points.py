"""Points, their means over seeds, and resampling by corpus."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delt_exp.errors import DataError
from delt_exp.statistics.points import percentiles, resampled_weights, weighted_covariances
from tests.statistics.studies import grid_points

COLUMNS = np.array([[1.0, 2, 4, 7, 3], [2, 2, 5, 1, 9]])


def test_seeds_of_a_pair_become_one_point():
    rows = grid_points([[1, 2], [3, 2]], [[3, 4], [5, 8]], seed_N=[[0, 0], [1, 1]])
    rows = replace(rows, covariates_KN=np.array([[0, 1, 2, 1]]))
    points = replace(rows, train_N=np.full(4, "t0")).mean_over_seeds()
    assert (points.x_N.tolist(), points.y_N.tolist(), points.covariates_KN.tolist()) == ([2, 2], [4, 6], [[1, 1]])
    assert (points.train_N.tolist(), points.evaluation_N.tolist()) == (["t0", "t0"], ["e0", "e1"])
    assert points.seed_N is None


def test_pairs_of_unequal_seeds_are_refused():
    rows = grid_points([[1], [2], [3]], [[3], [4], [5]], seed_N=[[0], [0], [1]])
    with pytest.raises(DataError, match="t1 with evaluation set e0 has 1 of 2 seeds"):
        replace(rows, train_N=np.array(["t0", "t1", "t0"])).mean_over_seeds()


def test_a_pair_may_come_once():
    points = grid_points([[1, 2]], [[3, 4]])
    with pytest.raises(DataError, match="t0 with evaluation set e0 and seed 0 comes twice"):
        points.rows(np.array([0, 0]))


def test_bad_columns_are_refused():
    with pytest.raises(DataError, match=r"y\[1\] is inf"):
        grid_points([[1, 2]], [[3, np.inf]])
    with pytest.raises(DataError, match="unequal length"):
        grid_points([[1, 2]], [[3, 4]], same_domain=[True])


def test_a_resample_draws_corpora_and_sets_whole():
    points = grid_points(np.zeros((3, 4)), np.zeros((3, 4)))
    weights = resampled_weights(points.train_N, points.evaluation_N, 50, seed=0).reshape(50, 3, 4)
    # A product of the numbers of draws, 3 of training corpora and 4 of evaluation sets.
    assert (weights.sum((1, 2)) == 12).all()
    assert (weights * 12 == weights.sum(2, keepdims=True) * weights.sum(1, keepdims=True)).all()
    assert len(np.unique(weights, axis=0)) > 25
    assert (resampled_weights(points.train_N, points.evaluation_N, 50, seed=0) == weights.reshape(50, 12)).all()


def test_a_factor_of_one_level_stays_as_it_is():
    points = grid_points(np.zeros((3, 1)), np.zeros((3, 1)))
    weights = resampled_weights(points.train_N, points.evaluation_N, 20, seed=0)
    assert (weights.sum(1) == 3).all()


@given(st.lists(st.integers(0, 3), min_size=5, max_size=5).filter(any))
def test_a_weight_counts_as_so_many_rows(counts):
    rows = np.repeat(COLUMNS, counts, axis=1)
    covariances = weighted_covariances(np.array([counts], float), COLUMNS, np.zeros(5))[0]
    assert covariances == pytest.approx(np.cov(rows, bias=True) if rows.shape[1] > 1 else np.zeros((2, 2)))


def test_covariances_within_groups_worked_by_hand():
    # Group a: x 1, 2 around 1.5, y 2, 2; group b: x 4, 7, 3 around 14/3, y 5, 1, 9 around 5.
    group = np.array(["a", "a", "b", "b", "b"])
    within = weighted_covariances(np.ones((1, 5)), COLUMNS, group)[0]
    xx, xy, yy = 0.5 + 78 / 9, -4 * 7 + 4 * 3, 32
    assert within == pytest.approx(np.array([[xx, xy], [xy, yy]]) / 5)


def test_an_undefined_resample_counts_as_both_extremes():
    # The fifth of 100 from either end, the undefined one first on both.
    draws = np.array([np.nan, *range(99)])
    assert percentiles(draws, 0.1, -np.inf, np.inf) == (3, 95)
    many = np.array([np.nan] * 6 + [0.5] * 94)
    assert percentiles(many, 0.1, -1, 1) == (-1, 1)
