"""Each diagnostic against numbers worked by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from delt_exp.errors import DataError
from delt_exp.statistics.diagnostics import (
    auc,
    auc_interval,
    length_correlation,
    rank_agreement,
    source_share,
    top_overlap,
)

IDS = np.arange(4, dtype=np.uint64)


def test_agreement_is_that_of_the_ranks():
    # Ranks 1 2 3 4 against 1 2 4 3: 1 - 6 * (1 + 1) / (4 * 15) = 0.8.
    agreement = rank_agreement(np.array([[1, 2, 3, 4], [1, 10, 1000, 100], [4, 3, 2, 1]]))
    assert agreement == pytest.approx(np.array([[1, 0.8, -1], [0.8, 1, -0.8], [-1, -0.8, 1]]))


def test_overlap_is_the_share_of_the_best_that_both_keep():
    goodness = np.array([[4, 3, 2, 1], [1, 3, 4, 2], [0, 0, 0, 0]], np.float32)
    # Best two: {0, 1}, {1, 2}, and of the ties those of higher id, {2, 3}.
    assert top_overlap(IDS, goodness, 0.5).tolist() == [[1, 0.5, 0], [0.5, 1, 0.5], [0, 0.5, 1]]
    assert top_overlap(IDS, goodness, 1.0).tolist() == [[1, 1, 1]] * 3


@pytest.mark.parametrize("ratio", [0.2, 1.5])
def test_a_ratio_that_keeps_none_or_too_many_is_refused(ratio):
    with pytest.raises(DataError, match=rf"ratio={ratio} keeps"):
        top_overlap(IDS, np.zeros((1, 4), np.float32), ratio)


def test_length_that_orders_as_the_score_does_correlates_fully():
    assert length_correlation(np.array([0.1, 5, 2]), np.array([10, 12, 11])) == pytest.approx(1)


def test_the_share_of_the_source_worked_by_hand():
    # Ranks 1 2 | 3 4: between 2 * 1 + 2 * 1 = 4 of 5. Ranks 1 4 | 2 3: nothing.
    assert source_share(np.array([10, 20, 30, 40]), np.array(["a", "a", "b", "b"])) == pytest.approx(0.8)
    assert source_share(np.array([10, 40, 20, 30]), np.array(["a", "a", "b", "b"])) == pytest.approx(0)


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=6, max_size=20))
def test_the_share_of_the_source_is_the_variance_of_ranks_between_sources(rows):
    scores, source = (np.array(column, float) for column in zip(*rows, strict=True))
    if len(set(scores)) == 1:
        return
    ranks = stats.rankdata(scores)
    between = sum((source == label).sum() * (ranks[source == label].mean() - ranks.mean()) ** 2 for label in {*source})
    assert source_share(scores, source) == pytest.approx(between / np.square(ranks - ranks.mean()).sum())


def test_auc_counts_pairs_and_half_the_ties():
    # Planted 3 and 1 against 1 and 0: wins 2 + 1, one tie: 3.5 of 4.
    assert auc(np.array([3, 1, 1, 0]), np.array([True, True, False, False])) == 3.5 / 4
    assert auc(np.zeros(5), np.array([1, 0, 0, 0, 1])) == 0.5


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=20))
def test_a_turned_score_has_the_auc_turned(rows):
    scores, planted = (np.array(column) for column in zip(*rows, strict=True))
    if planted.all() or not planted.any():
        with pytest.raises(DataError, match="planted is"):
            auc(scores, planted)
        return
    above = np.sign(scores[planted][:, None] - scores[~planted])
    assert auc(scores, planted) == pytest.approx((above.mean() + 1) / 2)
    assert auc(-scores, planted) == pytest.approx(1 - auc(scores, planted))


@pytest.mark.slow
@pytest.mark.parametrize("true_auc", [0.5, 0.9, 0.97, 0.999, 0.9999])
@pytest.mark.parametrize("num_planted", [13, 51])
def test_the_interval_of_an_auc_covers_it_and_stays_inside_the_unit_interval(true_auc, num_planted):
    # A t-interval on the AUC itself covers 0.46 to 0.95 of these, and ends above 1. Five seeds, 205 clean documents.
    random, covers = np.random.default_rng(2), []
    shift = np.sqrt(2) * stats.norm.ppf(true_auc)
    planted = np.arange(num_planted + 205) < num_planted
    for _ in range(300):
        values = [auc(random.normal(size=len(planted)) + shift * planted, planted) for _ in range(5)]
        low, high = auc_interval(np.array(values), num_planted, 0.05)
        assert 0 <= low <= np.mean(values) <= high <= 1
        covers.append(low <= true_auc <= high)
    assert np.mean(covers) > 0.92


def test_an_auc_of_one_in_every_seed_leaves_a_chance_of_less_and_the_turned_score_mirrors_it():
    low, high = auc_interval(np.ones(5), 13, 0.05)
    # c = 65.5 / 66, logit 4.8752, its standard error 1 / sqrt(3 * 66 * c (1 - c)) = 0.8196, t(0.975; 4) = 2.7764.
    assert (low, high) == (pytest.approx(1 / (1 + np.exp(2.7764 * 0.8196 - 4.8752)), abs=1e-4), 1)
    assert auc_interval(np.zeros(5), 13, 0.05) == pytest.approx((0, 1 - low))


def test_bad_arrays_are_refused():
    with pytest.raises(DataError, match=r"scores\[1\] is nan"):
        auc(np.array([1, np.nan]), np.array([True, False]))
    with pytest.raises(DataError, match="unequal length"):
        source_share(np.arange(3.0), np.array(["a", "b"]))
    with pytest.raises(DataError, match=r"scores\[1\] is 2.0 in all 3 rows"):
        rank_agreement(np.array([[1, 2, 3], [2, 2, 2]]))
    with pytest.raises(DataError, match="shape"):
        rank_agreement(np.arange(3.0))
