"""Bootstrap intervals against known answers."""

import numpy as np
import pytest

from delt_exp.alignment.interval import mean_cosine, pair_mean, ratio
from delt_exp.errors import DataError


@pytest.mark.parametrize("more", [0.0, 0.5])  # of the first to the second member than of the second to the first
def test_pairs_of_a_member_with_itself_do_not_count_on_one_side(more):
    table = np.array([[9.0, 1 + more, 2 + more], [1 - more, 9, 3 + more], [2 - more, 3 - more, 9]])
    found = pair_mean(table, is_same=True)
    assert found.value == pytest.approx(2)  # (1 + 2 + 3) / 3
    # Without one member 3, 2 or 1 is left: jackknife variance 2/3 * (1 + 0 + 1); t(0.975; 2) = 4.3027.
    assert found.high - found.value == pytest.approx(4.3027 * (4 / 3) ** 0.5, rel=1e-4)
    assert pair_mean(table, is_same=False).value == pytest.approx(39 / 9)


def test_members_are_counted_and_not_pairs():
    # Similarity a_i + b_j with a = +-1 and b = 0: the mean of a over 4 members has variance 4/3 / 4, whatever the
    # number of members of the other side. t(0.975; 3) = 3.1824.
    table = np.repeat(np.array([[1.0], [1], [-1], [-1]]), 100, axis=1)
    found = pair_mean(table, is_same=False)
    assert (found.low, found.high) == pytest.approx((-3.1824 / 3**0.5, 3.1824 / 3**0.5), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("members", [2, 3, 4, 8])
def test_intervals_cover_the_truth_with_few_batches_whichever_side_varies(members):
    # The percentile bootstrap over 4 batches covered 0.88. Monte-Carlo error 0.006.
    rng, hits = np.random.default_rng(0), []
    for other_sd in (0.0, 0.5):
        for _ in range(1200):
            left, right = rng.normal(size=members), other_sd * rng.normal(size=members)
            found = pair_mean(left[:, None] + right + 0.2 * rng.normal(size=(members, members)), is_same=False)
            hits.append((other_sd, found.low <= 0 <= found.high))
    assert np.mean([hit for sd, hit in hits if sd == 0]) == pytest.approx(0.96, abs=0.03)
    assert np.mean([hit for _, hit in hits]) > 0.93


@pytest.mark.parametrize("members", [3, 4, 8])
def test_intervals_of_a_text_with_itself_cover_the_truth(members):
    rng, hits = np.random.default_rng(1), []
    for _ in range(1200):
        effect, rest = rng.normal(size=members), 0.3 * rng.normal(size=(members, members))
        found = pair_mean(effect[:, None] + effect + rest + rest.T, is_same=True)
        hits.append(found.low <= 0 <= found.high)
    assert np.mean(hits) > 0.93


@pytest.mark.parametrize(("shape", "is_same"), [((1, 1), False), ((1, 5), False), ((2, 2), True)])
def test_where_a_side_has_no_spread_there_is_no_interval_and_it_says_why(shape, is_same):
    found = pair_mean(np.full(shape, 0.5), is_same=is_same)
    assert (found.value, found.low, found.high) == (0.5, None, None)
    assert found.without_interval


def test_a_ratio_is_that_of_the_sums():
    found = ratio(np.array([1.0, 9]), np.array([1.0, 4]), seed=0)
    assert found.value == pytest.approx(2)
    assert (found.low, found.high) == pytest.approx((1, 9 / 4))  # both draws the same document


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.slow
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


def test_two_documents_leave_no_interval_of_a_cosine():
    """Half of the resamples of two draw one of them twice, and all others are the two themselves."""
    left, right = np.array([[1.0, 0], [0.6, 0.8]]), np.array([[0.8, 0.6], [1.0, 0]])
    found = mean_cosine(left, right, seed=0)
    assert (found.low, found.high) == (None, None)
    assert found.without_interval.startswith("too many resamples")
    many = mean_cosine(np.repeat(left, 4, axis=0), np.repeat(right, 4, axis=0), seed=0)
    assert many.low < many.value < many.high


def test_samples_without_a_mean_direction_are_refused():
    opposite = np.array([[1.0, 0], [-1, 0]])
    with pytest.raises(DataError, match="no common direction"):
        mean_cosine(opposite, opposite, seed=0)
