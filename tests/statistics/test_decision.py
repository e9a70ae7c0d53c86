"""Decision accuracy and signal-to-noise: known answers, a slow reference, and intervals that hold what they promise."""

from itertools import combinations
from math import asin, pi, sqrt

import numpy as np
import pytest

from delt_exp.errors import DataError
from delt_exp.statistics.decision import clear_pairs, decision_accuracy, signal_to_noise


def test_one_swapped_pair_of_six_is_wrong():
    found = decision_accuracy([[1, 2, 4, 3]], [[10, 20, 30, 40]])
    assert (found.value, found.num_pairs) == (pytest.approx(5 / 6), 6)
    assert 0 < found.low < 5 / 6 < found.high < 1


def test_the_reverse_order_is_always_wrong_and_the_same_order_always_right():
    assert decision_accuracy([[4, 3, 2, 1]], [[1, 2, 3, 4]]).value == 0
    right = decision_accuracy([[1, 2, 3, 4]], [[1, 2, 3, 4]])
    assert (right.value, right.high) == (1, pytest.approx(1))
    # One of 6 pairs as a toss: 11/12; without an arm 5/6 or, for the two of the pair, 1: variance 3/4 * 4 * (1/12)^2 =
    # 1/48, so (11/144) * 48 = 11/3 pairs. Wilson with t(0.975, 3) = 3.18245: low = n / (n + t^2).
    assert right.low == pytest.approx(11 / 3 / (11 / 3 + 3.18245**2), abs=1e-5)


def test_a_tie_of_the_small_scale_is_half_right_and_one_of_the_large_scale_does_not_count():
    assert decision_accuracy([[1, 1, 2]], [[1, 2, 3]]).value == pytest.approx(2.5 / 3)
    found = decision_accuracy([[2, 1, 3]], [[1, 1, 2]])
    assert (found.value, found.num_pairs) == (1, 2)
    assert decision_accuracy([[2, 1, 3]], [[1, 1, 1]]) is None


def test_decisions_of_several_seeds_are_averaged():
    assert decision_accuracy([[1, 2, 3], [3, 2, 1]], [[1, 2, 3], [1, 2, 3]]).value == 0.5


def slow(small, large, counted):
    """Pairs one by one: the share, and its jackknife variance over arms."""

    def share(arms):
        pairs = [(i, j) for i, j in combinations(arms, 2) if counted[i, j]]
        return np.mean([(small[i] < small[j]) == (large[i] < large[j]) for i, j in pairs])

    num = len(small)
    without = [share([arm for arm in range(num) if arm != left]) for left in range(num)]
    return share(range(num)), (num - 1) / num * sum((one - np.mean(without)) ** 2 for one in without)


def test_the_interval_is_that_of_a_slow_jackknife_over_arms():
    rng = np.random.default_rng(0)
    large = rng.normal(size=14)
    small = large + rng.normal(size=14)
    counted = np.abs(large[:, None] - large) > 0.2
    value, variance = slow(small, large, counted)
    found = decision_accuracy([small], [large], counted)
    z2 = 2.160368656**2  # t(0.975, 13)
    count = value * (1 - value) / variance
    assert found.num_pairs / 13 < count < found.num_pairs
    half = sqrt(z2 * (value * (1 - value) / count + z2 / (4 * count**2))) / (1 + z2 / count)
    middle = (value + z2 / (2 * count)) / (1 + z2 / count)
    assert (found.value, found.low, found.high) == pytest.approx((value, middle - half, middle + half))


@pytest.mark.parametrize("correlation", [0.0, 0.7, 0.95, 0.997])
@pytest.mark.parametrize("num_arms", [8, 25])
def test_intervals_cover_the_truth_for_normal_arms(correlation, num_arms):
    """For normal outcomes the chance that two arms keep their order is 1/2 + asin(r) / pi (Kendall)."""
    rng, truth, num_draws = np.random.default_rng(1), 0.5 + asin(correlation) / pi, 400
    found = []
    for _ in range(num_draws):
        large = rng.normal(size=num_arms)
        small = correlation * large + sqrt(1 - correlation**2) * rng.normal(size=num_arms)
        found.append(decision_accuracy([small], [large]))
    assert np.mean([one.value for one in found]) == pytest.approx(truth, abs=0.02)  # without relation: 0.5
    assert np.mean([one.low <= truth <= one.high for one in found]) > 0.925


def test_only_differences_beyond_the_noise_of_seeds_are_clear():
    # The pooled sd is 1, 3 degrees of freedom: |difference| must exceed 3.18245 * sqrt(2 / 2).
    half = sqrt(0.5)
    runs = [[mean - half, mean + half] for mean in (0.0, 3.1, 6.3)]
    assert clear_pairs(runs).tolist() == [[False, False, True], [False, False, True], [True, True, False]]
    assert clear_pairs([[1], [2], [3]]) is None


def test_the_noise_in_the_spread_of_means_is_taken_off():
    # Means 0, 2, 4: variance 4. Seeds: pooled variance 2, of a mean of two 1. Signal sqrt(3), noise sqrt(2).
    found = signal_to_noise([[-1, 1], [1, 3], [3, 5]])
    assert (found.signal, found.noise, found.value) == pytest.approx((sqrt(3), sqrt(2), sqrt(1.5)))
    assert found.low < found.value < found.high
    assert signal_to_noise([[-3, 3], [-2, 4]]).value == 0
    assert signal_to_noise([[1], [2]]) is None


@pytest.mark.parametrize("truth", [0.0, 1.0, 4.0])
def test_intervals_of_signal_to_noise_cover_the_truth(truth):
    rng = np.random.default_rng(2)
    found = [
        signal_to_noise(truth * rng.normal(size=(10, 1)) + rng.normal(size=(10, 3))) for _ in range(400)
    ]  # fmt: skip
    assert np.mean([one.low <= truth <= one.high for one in found]) > 0.925
    assert np.median([one.value for one in found]) == pytest.approx(truth, abs=0.25)


@pytest.mark.parametrize(
    ("small", "large", "message"),
    [
        ([[1, 2]], [1, 2], "2 arms; decision accuracy needs at least 3"),
        ([[1, 2, float("nan")]], [1, 2, 3], "every value must be finite"),
        ([[1, 2, 3]], [1, 2, 3, 4], "unequal length"),
    ],
)
def test_what_cannot_be_decided_is_refused(small, large, message):
    with pytest.raises(DataError, match=message):
        decision_accuracy(small, [large])


def test_seeds_that_never_differ_have_no_ratio():
    assert signal_to_noise([[1, 1], [2, 2]]) is None
    assert signal_to_noise([[0.1, 0.4], [0.3, 0.6]], are_paired=True) is None


def test_each_decision_is_held_against_its_own_row_of_the_large_scale():
    assert decision_accuracy([[1, 2, 3], [3, 2, 1]], [[1, 2, 3], [3, 2, 1]]).value == 1
    assert decision_accuracy([[1, 2, 3], [3, 2, 1]], [[1, 2, 3], [1, 3, 2]]).value == pytest.approx((1 + 1 / 3) / 2)


def test_what_a_seed_does_to_all_arms_is_no_noise_between_them():
    # Residuals after arms and seeds: (-1, 1), (1, -1), (0, 0), all over 2; 2 degrees of freedom.
    runs = np.array([[0.0, 2], [2, 2], [4, 5]]) + np.array([100.0, 0])
    found = signal_to_noise(runs, are_paired=True)
    shared = np.array([[-0.5, 0.5], [0.5, -0.5], [0, 0]])
    assert found.noise == pytest.approx(sqrt((shared**2).sum() / 2))
    assert found.signal == pytest.approx(sqrt(np.var(runs.mean(1), ddof=1) - found.noise**2 / 2))
    assert clear_pairs(runs, are_paired=True).any()
    assert not clear_pairs(runs).any()
    with pytest.raises(DataError, match="unequal length"):
        clear_pairs([[1, 2], [1, 2, 3]], are_paired=True)
