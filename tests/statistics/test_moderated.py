"""Moderated variances: the formula, planted distributions, and what stays as it is."""

import numpy as np
import pytest
from scipy.special import polygamma

from delt_exp.statistics.moderated import FEWEST, MOST_DF, moderated, prior
from delt_exp.statistics.paired import Estimate


def estimates(variance_M, num_seeds=5, documents=None):
    parts = () if documents is None else (documents,)
    over = "seeds and documents" if parts else "seeds"
    return [
        Estimate(0.1, (v / num_seeds, *parts), (num_seeds - 1.0, *(50.0 for _ in parts)), 1.0, over) for v in variance_M
    ]


def test_a_planted_distribution_of_variances_is_found():
    rng = np.random.default_rng(0)
    sigma2_M = 8 * 0.04 / rng.chisquare(8, 50_000)
    d, scale = prior(sigma2_M * rng.chisquare(4, 50_000) / 4, np.full(50_000, 4.0))
    assert (d, scale) == (pytest.approx(8, rel=0.05), pytest.approx(0.04, rel=0.02))


def test_the_moments_of_the_log_variances_are_those_of_the_distribution():
    """Smyth 2004, section 6.2: trigamma(d / 2) is what the variance of log s2 has beyond trigamma(f / 2)."""
    logs = np.array([-3.0, -1.0, 0.0, 1.0, 3.0])
    d, _ = prior(np.exp(logs), np.full(5, 4.0))
    assert polygamma(1, d / 2) == pytest.approx(logs.var(ddof=1) - polygamma(1, 2.0))


def test_a_variance_is_the_mean_of_its_own_and_the_common_one_by_degrees_of_freedom():
    variance_M = np.exp(np.random.default_rng(1).normal(0, 1.2, 40))
    d, scale = prior(variance_M, np.full(40, 4.0))
    for own, one in zip(variance_M, moderated(estimates(variance_M)), strict=True):
        assert one.variances == (pytest.approx((d / 2 * scale + 4 * own) / (d / 2 + 4) / 5),)
        assert one.dfs == (pytest.approx(d / 2 + 4),)
        assert one.value == 0.1


def test_equal_variances_are_as_good_as_known():
    (one, *_) = moderated(estimates(np.full(20, 0.25)))
    assert one.dfs == (MOST_DF / 2 + 4,)
    assert one.detectable(0.05 / 264) < 0.5 * estimates([0.25])[0].detectable(0.05 / 264)


def test_the_part_of_documents_stays():
    for one in moderated(estimates(np.linspace(1, 2, 12), documents=0.3)):
        assert (one.variances[1], one.dfs[1]) == (0.3, 50.0)


def test_what_did_not_vary_one_seed_and_small_families_stay():
    still = estimates([0.0])[0]
    one_seed = Estimate(0.1, (0.2,), (99.0,), 1.0, "documents")
    found = moderated([still, one_seed, *estimates(np.linspace(1, 2, FEWEST))])
    assert found[:2] == [still, one_seed]
    assert found[2].dfs[0] > 4
    few = estimates(np.linspace(1, 2, FEWEST - 1))
    assert moderated([still, one_seed, *few]) == [still, one_seed, *few]
