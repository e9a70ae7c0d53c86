"""Holm by hand and against statsmodels; error rates and power of whole simulated studies."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats import multitest

from delt_exp.errors import DataError
from delt_exp.statistics.families import compare, holm, holm_p
from delt_exp.statistics.paired import Estimate, MetricArm
from tests.statistics.studies import loss_arm, simulated_arms

NOISE = {"arm_seed_sd": 0.05, "arm_document_sd": 0.1, "rest_sd": 0.2}


def all_pairs(arms):
    return holm([compare(first, second, 0.05) for first, second in combinations(arms, 2)])


def test_holm_worked_by_hand():
    # 0.005 * 4, 0.01 * 3, 0.03 * 2, then 0.04 * 1, which may not be below 0.06.
    assert holm_p(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm_p(np.array([0.7, 0.6])).tolist() == [1, 1]


@settings(max_examples=25)  # of 0.1 s
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_that_of_statsmodels(p):
    assert holm_p(np.array(p)) == pytest.approx(multitest.multipletests(p, method="holm")[1])


@settings(max_examples=25)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=12), st.data())
def test_whatever_is_still_to_come_no_p_becomes_larger_than_it_was(p, data):
    one = compare(*simulated_arms(np.random.default_rng(0), [0, 0], **NOISE), 0.05)
    family = [replace(one, p=value) for value in p]
    there = data.draw(st.integers(1, len(p)))
    early, late = holm(family[:there], len(p) - there), holm(family)
    assert all(first.p_holm >= last.p_holm for first, last in zip(early, late, strict=False))
    assert {first.num_comparisons for first in early} == {len(p)}


@pytest.mark.slow
def test_a_study_without_effects_claims_one_in_at_most_5_of_100():
    random = np.random.default_rng(0)
    claims = sum(
        any(one.verdict != "not distinguishable" for one in all_pairs(simulated_arms(random, [0] * 4, **NOISE)))
        for _ in range(1000)
    )
    assert claims / 1000 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 1000)


@pytest.mark.slow
def test_without_the_correction_the_same_study_would_claim_too_often():
    random = np.random.default_rng(0)
    claims = sum(any(one.p < 0.05 for one in all_pairs(simulated_arms(random, [0] * 4, **NOISE))) for _ in range(300))
    assert claims / 300 > 0.1


@pytest.mark.slow
def test_a_planted_effect_of_the_forecast_size_is_found_as_often_as_forecast_and_no_other():
    # Two arms with noise of their own; lengths of sigma 0.7 leave 100 / exp(0.49) effective documents.
    effective = 100 / math.exp(0.7**2)
    over_seeds = 2 * (NOISE["arm_seed_sd"] ** 2 / 5 + NOISE["rest_sd"] ** 2 / 500)
    over_documents = 2 * NOISE["arm_document_sd"] ** 2 / effective
    truth = Estimate(0.0, (over_seeds, over_documents), (4, effective - 1), 1.0, "seeds and documents")
    effect = truth.detectable(0.05 / 3)
    random, found, opposite, forecasts = np.random.default_rng(1), 0, 0, []
    for _ in range(1000):
        arms = simulated_arms(random, [0, effect, effect, effect], **NOISE)
        comparisons = holm([compare(arm, arms[0], 0.05) for arm in arms[1:]])
        found += comparisons[0].p < 0.05 / 3  # Holm's strictest level, that of the forecast
        opposite += any(one.verdict == "better" for one in comparisons)
        forecasts.append(comparisons[0].estimate.stderr)
    assert found / 1000 == pytest.approx(0.8, abs=0.05)
    assert np.sqrt(np.mean(np.square(forecasts))) == pytest.approx(truth.stderr, rel=0.05)
    assert opposite == 0


def test_verdicts_of_a_clear_study():
    random = np.random.default_rng(3)
    good, base, placebo = simulated_arms(random, [-1.0, 0.0, 0.0], **NOISE)
    first, second, third = all_pairs([good, base, placebo])
    assert [one.verdict for one in (first, second, third)] == ["better", "better", "not distinguishable"]
    assert compare(base, good, 0.05).verdict == "worse"
    assert first.p_holm == pytest.approx(max(3 * min(first.p, second.p), 2 * first.p))


def test_higher_is_better_where_the_metric_says_so():
    low, high = (
        MetricArm(name, (0, 1, 2), np.array(values), "higher", "share")
        for name, values in (("l", [0.01, 0, 0]), ("h", [1, 1, 1.01]))
    )
    assert compare(high, low, 0.05).verdict == "better"
    assert compare(low, high, 0.05).verdict == "worse"


def test_a_study_of_one_seed_marks_every_verdict():
    comparison = compare(loss_arm([1, 2, 3], name="a"), loss_arm([5.1, 6, 7], name="b"), 0.05)
    assert comparison.verdict == "better (one seed) (few documents)"


def test_the_effect_size_counts_standard_deviations_of_one_difference():
    # Differences 1, 2, 3 of one seed: mean 2, standard deviation 1.
    comparison = compare(loss_arm([2, 4, 6], name="a"), loss_arm([1, 2, 3], name="b"), 0.05)
    assert comparison.effect_size == pytest.approx(2)
    assert compare(loss_arm([1, 2], name="a"), loss_arm([1, 2], name="b"), 0.05).effect_size == 0


def test_more_comparisons_leave_larger_differences_in_reach():
    arms = simulated_arms(np.random.default_rng(5), [0, 0, 0, 0], **NOISE)
    one, in_family = compare(arms[0], arms[1], 0.05), all_pairs(arms)[0]
    assert one.detectable == pytest.approx(one.estimate.detectable(0.05))
    assert in_family.detectable == pytest.approx(one.estimate.detectable(0.05 / 6))
    assert in_family.detectable > one.detectable


def test_arms_that_are_not_paired_are_refused():
    metric = MetricArm("m", (0, 1), np.array([0.1, 0.2]), "lower", "nats/token")
    with pytest.raises(DataError, match="not paired"):
        compare(loss_arm([1, 2]), metric, 0.05)
