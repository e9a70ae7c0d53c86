"""Bootstrap intervals against known answers."""

import numpy as np
import pytest

from delt_exp.alignment.interval import mean_cosine, pair_mean, ratio
from delt_exp.errors import DataError


def test_pairs_of_a_member_with_itself_do_not_count_on_one_side():
    table = np.array([[9.0, 1, 2], [1, 9, 3], [2, 3, 9]])
    assert pair_mean(table, is_same=True, seed=0).value == pytest.approx(2)  # (1 + 2 + 3) / 3
    assert pair_mean(table, is_same=False, seed=0).value == pytest.approx(39 / 9)


def test_members_are_resampled_and_not_pairs():
    # Similarity a_i + b_j with a = +-1 and b = 0: the mean of a over 4 members has standard error 1/2, over all
    # 4 x 100 pairs, were they independent, 1/20. An interval of 95 % is about 4 standard errors wide.
    table = np.repeat(np.array([[1.0], [1], [-1], [-1]]), 100, axis=1)
    found = pair_mean(table, is_same=False, seed=0)
    assert found.high - found.low == pytest.approx(2, abs=0.1)


def test_intervals_cover_the_truth_about_95_times_of_100():
    rng, hits = np.random.default_rng(0), 0
    for seed in range(200):
        left, right = rng.normal(size=20), rng.normal(size=30)
        found = pair_mean(left[:, None] + right[None], is_same=False, seed=seed)
        hits += found.low <= 0 <= found.high
    assert 0.88 <= hits / 200 <= 0.99


@pytest.mark.parametrize(("shape", "is_same"), [((1, 1), False), ((2, 2), True)])
def test_where_nothing_can_be_resampled_there_is_no_interval(shape, is_same):
    found = pair_mean(np.full(shape, 0.5), is_same=is_same, seed=0)
    assert (found.value, found.low, found.high) == (0.5, None, None)


def test_equal_seeds_give_equal_intervals():
    table = np.random.default_rng(1).random((5, 6))
    assert pair_mean(table, is_same=False, seed=3) == pair_mean(table, is_same=False, seed=3)
    assert pair_mean(table, is_same=False, seed=3) != pair_mean(table, is_same=False, seed=4)


def test_a_ratio_is_that_of_the_sums():
    found = ratio(np.array([1.0, 9]), np.array([1.0, 4]), seed=0)
    assert found.value == pytest.approx(2)
    assert (found.low, found.high) == pytest.approx((1, 9 / 4))  # both draws the same document


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_cosine_of_means_does_not_depend_on_the_size_of_the_samples():
    # Means in the directions (1, 1, 0, ...) and (1, 0, 1, ...), whose cosine is 1/2, under noise in 64 directions: the
    # plain cosine of the means of 20 such vectors would be 0.36 on average.
    rng = np.random.default_rng(0)
    means = np.zeros((2, 64))
    means[:, 0] = means[0, 1] = means[1, 2] = 1
    few, many = [], []
    for repeat in range(40):
        for size, values in ((20, few), (80, many)):
            samples = (unit(mean + rng.normal(size=(size, 64)) / 2) for mean in means)
            values.append(mean_cosine(*samples, seed=repeat).value)
    assert np.mean(few) == pytest.approx(0.5, abs=0.06)
    assert np.mean(many) == pytest.approx(0.5, abs=0.03)


def test_samples_without_a_mean_direction_are_refused():
    opposite = np.array([[1.0, 0], [-1, 0]])
    with pytest.raises(DataError, match="point nowhere"):
        mean_cosine(opposite, opposite, seed=0)
