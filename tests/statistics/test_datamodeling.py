"""The linear datamodeling score by hand, its interval by simulation, and what noise leaves of it."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from delt_exp.errors import DataError
from delt_exp.statistics.datamodeling import agreement, detectable, joined, perfect, rank_correlations


def halves(num_groups, count, draws):
    return np.argsort(np.argsort(draws.random((count, num_groups)), axis=1), axis=1) < num_groups // 2


def test_the_score_by_hand():
    """Sums 3, 5, 4 against worths 0.1, 0.3, 0.2 rank alike; against 0.1, 0.2, 0.3 one pair of neighbours is turned."""
    sets = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]], bool)
    scores = np.array([1.0, 2, 3])
    assert agreement(scores, sets, np.array([0.1, 0.3, 0.2]), 9, 0).value == pytest.approx(1)
    assert agreement(scores, sets, np.array([0.1, 0.2, 0.3]), 9, 0).value == pytest.approx(0.5)


def test_three_sets_have_no_interval():
    found = agreement(np.array([1.0, 2, 3]), np.eye(3, dtype=bool), np.array([0.1, 0.3, 0.2]), 9, 0)
    with pytest.raises(DataError, match=r"3 held-out halves; an interval needs at least 4: raise scorer\.num_held_out"):
        joined([found], 0.05)


def test_it_is_spearmans_correlation_with_ties_and_0_for_equal_sums():
    draws = np.random.default_rng(0)
    rows, worth = draws.integers(0, 4, (3, 20)).astype(float), draws.random(20)
    rows[2] = 1
    expected = [spearmanr(row, worth).statistic for row in rows[:2]]
    np.testing.assert_allclose(rank_correlations(rows, worth), [*expected, 0], atol=1e-12)


@pytest.mark.parametrize("strength", [0.0, 0.7])
def test_intervals_over_sets_cover_the_agreement_of_all_sets(strength):
    """600 simulated studies of 60 halves; the true agreement is that over 20,000 halves of the same groups."""
    draws = np.random.default_rng(1)
    true, covered = draws.standard_normal(30), 0
    scores = strength * true + (1 - strength) * draws.standard_normal(30)
    many = halves(30, 20_000, draws)
    whole = rank_correlations((many @ scores)[None], many @ true)[0]
    for _ in range(600):
        sets = halves(30, 60, draws)
        cell, _ = joined([agreement(scores, sets, sets @ true, 1, 0)], 0.05)
        covered += cell.low <= whole <= cell.high
    assert 0.92 <= covered / 600 <= 0.98


def test_scores_without_information_are_told_from_none_in_one_of_twenty_studies():
    draws, p = np.random.default_rng(2), []
    for _ in range(200):
        sets = halves(24, 30, draws)
        worth = sets @ draws.standard_normal(24)
        p.append(joined([agreement(draws.standard_normal(24), sets, worth, 99, 0)], 0.05)[1])
    assert 0.01 <= np.mean(np.array(p) <= 0.05) <= 0.09


def test_an_exact_prediction_correlates_with_two_noisy_runs_as_their_reliability_says():
    draws = np.random.default_rng(3)
    truth = draws.standard_normal(200_000)
    first, second = (truth + 1.5 * draws.standard_normal(len(truth)) for _ in range(2))
    found = np.corrcoef(truth, (first + second) / 2)[0, 1]
    assert perfect(np.corrcoef(first, second)[0, 1]) == pytest.approx(found, abs=0.01)
    assert perfect(1.0) == 1
    assert perfect(-0.1) == 0


def test_the_smallest_agreement_is_found_in_four_of_five_studies():
    """Scores that correlate as promised with the values of 60 groups, 80 halves, 200 simulated studies."""
    draws, found, target = np.random.default_rng(4), 0, detectable(80, 60, 0.05)
    for _ in range(200):
        true, sets = draws.standard_normal(60), halves(60, 80, draws)
        scores = target * true + (1 - target**2) ** 0.5 * draws.standard_normal(60)
        found += joined([agreement(scores, sets, sets @ true, 99, 0)], 0.05)[1] <= 0.05
    assert found / 200 == pytest.approx(0.8, abs=0.1)


def test_worths_that_are_all_equal_are_refused():
    with pytest.raises(DataError, match="worth is 1"):
        agreement(np.arange(3.0), np.eye(3, dtype=bool), np.ones(3), 9, 0)
