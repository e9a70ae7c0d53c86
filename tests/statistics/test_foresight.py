"""Planted foresight is found, none is claimed where there is none, and picks are worked by hand."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from delt_exp.errors import DataError
from delt_exp.statistics.foresight import foresight, picks

OPTIONS = {"alpha": 0.05, "permutations": 199, "seed": 0}


def simulated(rng, slope, shape=(4, 12, 3)):
    """Known numbers and gains of tasks, choices and seeds; half of the variance is that of a choice in all tasks."""
    tasks, choices, _ = shape

    def shared():
        return np.sqrt(0.5) * (rng.normal(size=(1, choices)) + rng.normal(size=(tasks, choices)))

    known = shared()
    gain = slope * known + shared()
    return tuple(values[:, :, None] + 0.3 * rng.normal(size=shape) for values in (known, gain))


def test_a_monotone_relation_is_found_and_its_correlation_is_that_of_ranks():
    known, gain = simulated(np.random.default_rng(0), 3.0)
    found = foresight(known, np.exp(gain), **OPTIONS)  # only the order of the means counts
    by_hand = [spearmanr(x, y).statistic for x, y in zip(known.mean(2), np.exp(gain).mean(2), strict=True)]
    assert found.rho_P == pytest.approx(by_hand)
    assert found.rho.value == pytest.approx(np.mean(by_hand))
    assert found.p == 1 / 200
    assert 0.5 < found.rho.low < found.rho.value < found.rho.high < 1


def test_a_relation_the_other_way_round_has_the_same_p_and_the_other_sign():
    known, gain = simulated(np.random.default_rng(1), 1.0)
    found, turned = foresight(known, gain, **OPTIONS), foresight(-known, gain, **OPTIONS)
    assert (turned.rho.value, turned.p) == (pytest.approx(-found.rho.value), found.p)


@pytest.mark.slow
def test_without_a_relation_a_claim_is_made_in_at_most_one_study_of_twenty():
    rng = np.random.default_rng(2)
    claims = [foresight(*simulated(rng, 0.0, (3, 8, 2)), **OPTIONS).p <= 0.05 for _ in range(100)]
    assert np.mean(claims) <= 0.115  # 0.05 and three Monte-Carlo errors


def test_one_seed_gives_an_interval_over_choices_alone():
    known, gain = simulated(np.random.default_rng(3), 1.0, (4, 12, 1))
    found = foresight(known, gain, **OPTIONS)
    assert found.rho.low < found.rho.value < found.rho.high


def test_picks_are_judged_on_the_seed_that_the_picks_of_training_did_not_see():
    # One task, four choices, two seeds: training on seed 0 names the second choice, which brings 1 on seed 1, and on
    # seed 1 the third, which brings 2 on seed 0. The known number names the fourth on seed 0 and the first on seed 1.
    gain = np.array([[[0.0, 5], [9, 1], [2, 8], [4, 3]]])
    known = np.array([[[0.0, 9], [1, 0], [2, 0], [3, 0]]])
    found = picks(known, gain)
    assert found.trained_S.tolist() == [2, 1]
    assert found.foreseen_S.tolist() == [4, 5]
    assert found.any_S.tolist() == [15 / 4, 17 / 4]
    assert picks(known[:, :, :1], gain[:, :, :1]).trained_S is None


def test_what_has_no_ranks_is_refused():
    with pytest.raises(DataError, match="3 choices; a rank correlation needs at least 4"):
        foresight(np.ones((1, 3, 1)), np.ones((1, 3, 1)), **OPTIONS)
    with pytest.raises(DataError, match="the gain is the same for all choices"):
        foresight(np.arange(4.0).reshape(1, 4, 1), np.ones((1, 4, 1)), **OPTIONS)
    with pytest.raises(DataError, match="unequal length"):
        foresight(np.arange(4.0).reshape(1, 4, 1), np.arange(8.0).reshape(2, 4, 1), **OPTIONS)
