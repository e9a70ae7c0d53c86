"""The power that is promised is the power that simulated studies have."""

import numpy as np
import pytest

from delt_exp.errors import DataError
from delt_exp.statistics.paired import LossArm, MetricArm
from delt_exp.statistics.power import MOST_SEEDS, Noise, paired_noise, pooled, separate_noise

DRAWS = np.random.default_rng(11)


def metric(name, values):
    return MetricArm(name, tuple(range(len(values))), np.asarray(values), "lower", "nats/token")


@pytest.mark.parametrize("num_seeds", [3, 5, 12])
@pytest.mark.parametrize("noise", [(1.0, 1.0), (1.0, 4.0)])  # the second: one arm is four times as noisy
def test_studies_of_the_promised_effect_find_it_in_four_of_five(num_seeds, noise):
    promised = Noise(noise[0] ** 2 + noise[1] ** 2).detectable(num_seeds, 0.05)
    found = 0
    for _ in range(1500):
        first, second = (DRAWS.normal(0, deviation, num_seeds) for deviation in noise)
        found += metric("a", first + promised).minus(metric("b", second)).estimate.p < 0.05
    assert found / 1500 == pytest.approx(0.8, abs=0.04)  # 4 standard errors


def test_without_an_effect_they_find_one_in_twenty():
    found = [
        metric("a", DRAWS.normal(0, 4, 5)).minus(metric("b", DRAWS.normal(0, 1, 5))).estimate.p < 0.05
        for _ in range(1500)
    ]
    assert np.mean(found) == pytest.approx(0.05, abs=0.023)


def test_the_fewest_seeds_see_the_effect_and_one_less_does_not():
    noise = Noise(1.0)
    seeds = noise.seeds_for(0.7, 0.01)
    assert noise.detectable(seeds, 0.01) <= 0.7 < noise.detectable(seeds - 1, 0.01)
    assert noise.seeds_for(100.0, 0.05) == 2


def test_no_number_of_seeds_sees_what_the_documents_hide():
    assert Noise(1.0, 1.0, 99).seeds_for(1.0, 0.05) is None
    assert Noise(1.0).seeds_for(0.001, 0.05) is None
    assert Noise(1.0, 1.0, 99).detectable(MOST_SEEDS, 0.05) > 2.8  # (1.96 + 0.84) standard errors of the documents


def losses(seed_shift, num_documents=50):
    """An arm of 3 seeds whose documents have 10 tokens each."""
    sums = DRAWS.normal(30, 1, (3, num_documents)) + 10 * np.asarray(seed_shift)[:, None]
    return LossArm("a", (0, 1, 2), np.arange(num_documents, dtype=np.uint64), sums, np.full(num_documents, 10))


def test_noise_of_a_difference_is_that_of_its_own_estimate():
    difference = losses([0, 1, 2]).minus(losses([2, 0, 1]))
    noise = paired_noise(difference)
    assert noise.estimate(3).variances == pytest.approx(difference.estimate.variances)
    assert noise.detectable(3, 0.05) == pytest.approx(difference.estimate.detectable(0.05))


def test_noise_of_two_arms_alone_is_the_sum_of_their_variances_over_seeds():
    assert separate_noise(metric("a", [1.0, 3.0]), metric("b", [0.0, 0.0, 3.0])) == Noise(2.0 + 3.0)
    assert separate_noise(losses([0, 1, 2]), losses([0, 0, 0])).seeds == pytest.approx(1.0, abs=0.1)


def test_pooled_noise_is_the_mean_and_trusts_the_fewest_documents():
    assert pooled([Noise(1.0, 0.2, 30.0), Noise(3.0, 0.4, 10.0)]) == Noise(2.0, pytest.approx(0.3), 10.0)


def test_one_seed_shows_no_noise():
    one = LossArm("a", (0,), np.arange(2, dtype=np.uint64), np.ones((1, 2)), np.array([1, 2]))
    for noise in (lambda: paired_noise(one), lambda: separate_noise(one, one)):
        with pytest.raises(DataError, match="one seed; noise over seeds needs at least 2"):
            noise()
