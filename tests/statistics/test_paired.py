"""The crossed error against numbers worked by hand, plain t-tests and simulated studies of known effects."""

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from delt_exp.errors import DataError
from delt_exp.statistics.families import compare
from delt_exp.statistics.paired import SMALLEST_P, Estimate, MetricArm, ratio_estimate
from delt_exp.statistics.ratio import ratio_stderr
from tests.statistics.studies import loss_arm, simulated_arms

NATS = arrays(np.float64, (3, 4), elements=st.integers(-50, 50).map(float))
TOKENS = arrays(np.int64, 4, elements=st.integers(1, 20))


def test_two_seeds_by_two_documents_worked_by_hand():
    # Mean 5. Around it: seeds -3, 3; documents -2, 2; rest +-1. MS_S = 2 * 18, MS_D = 2 * 8, MS_R = 4.
    estimate = loss_arm([[1, 3], [5, 11]]).estimate
    assert estimate.value == 5
    assert estimate.variances == pytest.approx((36 / 4, (16 - 4) / 4))
    assert estimate.stderr == pytest.approx(math.sqrt(12))
    assert estimate.dfs == pytest.approx((1, 1))
    assert estimate.df == pytest.approx(48**2 / (36**2 + 12**2))
    assert estimate.spread == pytest.approx(math.sqrt(4 + (36 - 4) / 2 + (16 - 4) / 2))
    assert estimate.over == "seeds and documents"


def test_an_effect_of_the_seed_on_every_token_gives_the_error_over_seeds_alone():
    # 1, 2 and 6 nats more on each token of documents of unequal length: mean 3, standard deviation sqrt(7).
    tokens = np.array([1, 3, 8])
    estimate = loss_arm(np.outer([1, 2, 6], tokens), tokens).estimate
    assert estimate.value == pytest.approx(3)
    assert estimate.stderr == pytest.approx(math.sqrt(7 / 3))
    assert estimate.variances[1] == pytest.approx(0)
    assert estimate.dfs[0] == 2


def test_effects_of_seeds_and_of_documents_are_taken_apart_where_lengths_differ():
    # Beside +-1 on each token of a seed, the documents of 1 and 3 tokens have 2 and -2 nats: nothing is left as rest.
    # Without one document the mean difference is -2/3 or 2, with both it is 0; the jackknife takes 1/2 of the squares.
    estimate = loss_arm(np.outer([-1, 1], [1, 3]) + np.array([2, -2]), [1, 3]).estimate
    assert estimate.value == pytest.approx(0)
    assert estimate.variances == pytest.approx((1, (4 / 9 + 4) / 2))


def test_documents_that_differ_less_than_the_rest_do_not_lower_the_error_below_that_of_the_seeds():
    # Seeds -1, 1 and the rest +-1 without an effect of documents: MS_S = 2 * 2 = 4, MS_D = 0, MS_R = 4.
    estimate = loss_arm([[0, -2], [0, 2]]).estimate
    assert estimate.stderr == pytest.approx(math.sqrt(4 / 4))


def test_one_seed_gives_the_error_over_documents_and_says_so():
    # 0, 2, 4: t = 2 / (2 / sqrt 3) = sqrt 3. The first and the last make up the variance: squares 4, 0, 4 are 2
    # effective documents, so 1 degree of freedom, where p = 1 - 2 arctan(t) / pi = 1/3 and the quantile is 12.706.
    estimate = loss_arm([[0, 2, 4]]).estimate
    assert (estimate.value, estimate.df, estimate.over) == (2, 1, "documents")
    assert estimate.stderr == pytest.approx(2 / math.sqrt(3))
    assert estimate.p == pytest.approx(1 / 3)
    assert estimate.interval(0.05)[1] == pytest.approx(2 + 12.7062 * 2 / math.sqrt(3), rel=1e-5)


def test_one_seed_has_the_error_that_an_evaluation_reports_for_documents_of_equal_length():
    sums, tokens = np.array([3.0, 9.0, 4.0, 30.0]), np.array([4, 4, 4, 4])
    assert loss_arm(sums, tokens).estimate.stderr == pytest.approx(ratio_stderr(sums, tokens))


def test_documents_of_unequal_length_have_the_error_of_the_jackknife():
    # Leaving out one document of 1, 1 or 2 tokens with 1, 3 or 8 nats leaves 11/3, 9/3 or 4/2; all: 12/4 = 3. Around 3
    # (the estimate, not the mean of the three): squares 4/9, 0 and 1, of which 2/3 of the sum is the variance.
    estimate = loss_arm([[1, 3, 8]], [1, 1, 2]).estimate
    assert estimate.stderr**2 == pytest.approx(2 / 3 * (4 / 9 + 0 + 1))
    # Effective documents: by tokens 16 / 6, by the squares (4/9 + 1)^2 / (16/81 + 1) = 169 / 97, fewer than two: one
    # degree of freedom is left.
    assert estimate.df == 1
    # Around 2 the squares of 0, 1, 2, 5 are 4, 1, 0, 9: 14^2 / (16 + 1 + 81) = 2 documents. Those of 1, 3, 1, 3 agree.
    assert loss_arm([[0, 1, 2, 5]], [1, 1, 1, 1]).estimate.df == pytest.approx(1)
    assert loss_arm([[1, 3, 1, 3]], [1, 1, 1, 1]).estimate.df == pytest.approx(3)


def test_the_half_width_joins_the_t_quantiles_of_both_parts():
    estimate = Estimate(7.0, (4.0, 9.0), (1, 3), 1.0, "seeds and documents")
    low, high = estimate.interval(0.05)
    # Tables: t(0.975; 1) = 12.706, t(0.975; 3) = 3.182.
    assert (high - low) / 2 == pytest.approx(math.sqrt(4 * 12.706**2 + 9 * 3.182**2), rel=1e-4)
    assert low + high == pytest.approx(14)


@given(value=st.floats(0.01, 100), parts=st.tuples(st.floats(0, 9), st.floats(0.01, 9)), df=st.floats(1, 200))
@example(value=50.0, parts=(0.0, 0.01), df=192.0)  # 500 standard errors
def test_p_is_the_level_at_which_the_interval_ends_at_zero_or_the_smallest(value, parts, df):
    estimate = Estimate(value, parts, (4, df), 1.0, "seeds and documents")
    low = estimate.interval(estimate.p)[0]
    assert low == pytest.approx(0, abs=1e-6 * value) or (estimate.p == SMALLEST_P and low > 0)


def test_one_number_a_seed_is_the_paired_t_test():
    # Differences 0.1, 0.2, 0.3: t = 0.2 / (0.1 / sqrt 3) = sqrt 12 on 2 degrees of freedom.
    first = MetricArm("a", (0, 1, 2), np.array([0.5, 0.6, 0.7]), "higher", "share")
    second = MetricArm("b", (0, 1, 2), np.array([0.4, 0.4, 0.4]), "higher", "share")
    estimate = first.minus(second).estimate
    assert (estimate.df, estimate.over) == (2, "seeds")
    assert estimate.value == pytest.approx(0.2)
    assert estimate.p == pytest.approx(1 - math.sqrt(12 / 14))
    assert estimate.value / estimate.spread == pytest.approx(2)


def test_identical_arms_give_no_reason_to_tell_them_apart():
    arm = loss_arm([[1, 2, 3], [4, 5, 7]])
    estimate = arm.minus(arm).estimate
    assert (estimate.value, estimate.stderr, estimate.p) == (0, 0, 1)
    assert estimate.interval(0.05) == (0, 0)


def test_the_detectable_difference_is_that_of_the_normal_test_for_many_degrees_of_freedom():
    estimate = Estimate(0.0, (0.25,), (1e8,), 1.0, "seeds")
    assert estimate.detectable(0.05) == pytest.approx(0.5 * (1.959964 + 0.841621), abs=1e-4)
    assert estimate.detectable(0.01) == pytest.approx(0.5 * (2.575829 + 0.841621), abs=1e-4)


@pytest.mark.parametrize("df", [1, 4, 30])
def test_a_t_test_finds_the_detectable_difference_four_times_of_five(df):
    draws = np.random.default_rng(0).normal(size=(20_000, df + 1))
    shift = Estimate(0.0, (1 / (df + 1),), (df,), 1.0, "seeds").detectable(0.05)
    found = stats.ttest_1samp(draws + shift, 0, axis=1).pvalue < 0.05
    assert found.mean() == pytest.approx(0.8, abs=0.01)


@given(first=NATS, second=NATS, tokens=TOKENS)
def test_swapping_the_arms_turns_the_sign_and_nothing_else(first, second, tokens):
    a, b = loss_arm(first, tokens), loss_arm(second, tokens)
    there, back = a.minus(b).estimate, b.minus(a).estimate
    assert there.value == -back.value
    assert (there.stderr, there.df, there.spread, there.p) == (back.stderr, back.df, back.spread, back.p)


@given(nats=NATS, tokens=TOKENS, seeds=st.permutations(range(3)), documents=st.permutations(range(4)))
def test_the_order_of_seeds_and_documents_does_not_matter(nats, tokens, seeds, documents):
    before = loss_arm(nats, tokens).estimate
    after = loss_arm(nats[np.ix_(seeds, documents)], tokens[documents]).estimate
    assert (after.value, after.stderr, after.spread) == pytest.approx(
        (before.value, before.stderr, before.spread), rel=1e-9, abs=1e-9
    )


@pytest.mark.slow
@given(first=NATS, second=NATS, tokens=TOKENS, shared=arrays(np.float64, 4, elements=st.integers(0, 9).map(float)))
def test_what_both_arms_share_on_a_document_does_not_matter(first, second, tokens, shared):
    plain = loss_arm(first, tokens).minus(loss_arm(second, tokens)).estimate
    harder = loss_arm(first + shared, tokens).minus(loss_arm(second + shared, tokens)).estimate
    assert plain == harder  # whole numbers: without rounding


@given(nats=NATS, tokens=TOKENS)
def test_a_scaled_loss_has_a_scaled_error_and_the_same_p(nats, tokens):
    plain, scaled = loss_arm(nats, tokens).estimate, loss_arm(4 * nats, tokens).estimate
    assert (scaled.value, scaled.stderr, scaled.spread) == (4 * plain.value, 4 * plain.stderr, 4 * plain.spread)
    assert (scaled.df, scaled.p) == pytest.approx((plain.df, plain.p))


@pytest.mark.parametrize(
    ("arm_seed_sd", "arm_document_sd", "rest_sd"), [(0.05, 0.1, 0.4), (0.1, 0.05, 0.2), (0.01, 0.4, 0.2), (0, 0, 0.4)]
)
def test_the_interval_covers_the_true_difference_over_seeds_and_documents(arm_seed_sd, arm_document_sd, rest_sd):
    random = np.random.default_rng(7)
    noise = {"arm_seed_sd": arm_seed_sd, "arm_document_sd": arm_document_sd, "rest_sd": rest_sd}
    covers = []
    for _ in range(1000):
        first, second = simulated_arms(random, [0.25, 0.0], **noise)
        low, high = first.minus(second).estimate.interval(0.05)
        covers.append(low <= 0.25 <= high)
    # Monte-Carlo error 0.007; without any effect of the seed or of the document the error is too large, not too small.
    assert np.mean(covers) > 0.93
    assert np.mean(covers) < (0.97 if arm_seed_sd else 1)


@pytest.mark.parametrize("num_seeds", [1, 5])
@pytest.mark.parametrize("num_documents", [30, 100])
def test_a_difference_that_depends_on_length_is_seldom_taken_for_one_of_all_documents(num_seeds, num_documents):
    # Of log-normal lengths w, E[w (log w - 5 - sigma^2)] = 0: no difference of the token means. Kish's number of
    # documents by tokens alone made 0.15 false claims at 30 documents and 0.12 at 100.
    random, claims = np.random.default_rng(9), 0
    for _ in range(1000):
        tokens = np.round(np.exp(random.normal(5, 1, num_documents))) + 1
        per_token = 0.5 * (np.log(tokens) - 6) + random.normal(0, 0.1, num_documents)
        per_token = per_token + random.normal(0, 0.1, (num_seeds, num_documents))
        claims += loss_arm(per_token * tokens, tokens).estimate.p < 0.05
    assert claims / 1000 < 0.085  # 0.06 measured over 8000, and three Monte-Carlo errors of 0.0075


def test_fewer_than_a_hundred_documents_with_tokens_weaken_a_verdict():
    sums, tokens = np.tile([1.0, 2.0], (2, 50)) + np.array([[0.0], [0.1]]), np.ones(100, np.int64)
    assert not loss_arm(sums, tokens).estimate.few_documents
    tokens[7], sums[:, 7] = 0, 0
    assert loss_arm(sums, tokens).estimate.few_documents
    worse, base = loss_arm(sums + 2 * tokens + np.arange(100) / 100 * tokens, tokens), loss_arm(sums, tokens)
    assert compare(worse, base, 0.05).verdict == "worse (few documents)"
    assert compare(base, base, 0.05).verdict == "not distinguishable"


def test_an_interval_over_documents_alone_would_miss_the_true_difference_of_trainings():
    random = np.random.default_rng(8)
    noise = {"arm_seed_sd": 0.1, "arm_document_sd": 0.05, "rest_sd": 0.2}
    covers = []
    for _ in range(300):
        first, second = simulated_arms(random, [0.25, 0.0], num_seeds=1, **noise)
        low, high = first.minus(second).estimate.interval(0.05)
        covers.append(low <= 0.25 <= high)
    assert np.mean(covers) < 0.6


def test_unequal_documents_are_refused():
    tokens = [2, 3]
    arm = loss_arm([[1, 2], [3, 4]], tokens, name="base")
    with pytest.raises(DataError, match=r"'base' \(2 documents\) and 'arm' \(3\) differ in their documents"):
        arm.minus(loss_arm([[1, 2, 3], [3, 4, 5]]))
    with pytest.raises(DataError, match="differ in their documents"):
        arm.minus(loss_arm([[1, 2], [3, 4]], tokens, ids=np.array([0, 7], np.uint64)))
    with pytest.raises(DataError, match=r"differ in the tokens of their documents.*one tokenizer"):
        arm.minus(loss_arm([[1, 2], [3, 4]], [2, 4]))


def test_unequal_seeds_are_refused():
    with pytest.raises(DataError, match=r"seeds \[0, 1\].*seeds \[0, 2\].*not paired"):
        loss_arm([[1, 2], [3, 4]]).minus(loss_arm([[1, 2], [3, 4]], seeds=(0, 2)))
    with pytest.raises(DataError, match=r"2 rows for the seeds \[0, 0\]"):
        loss_arm([[1, 2], [3, 4]], seeds=(0, 0))


def test_what_has_no_error_is_refused():
    with pytest.raises(DataError, match="has 1 documents"):
        loss_arm([[1], [2]])
    with pytest.raises(DataError, match="of 0 to 0 tokens"):
        loss_arm([[1, 2]], [0, 0])
    with pytest.raises(DataError, match="one seed"):
        MetricArm("a", (0,), np.array([0.5]), "higher", "share")


def test_a_value_that_is_not_finite_is_refused_with_its_place():
    with pytest.raises(DataError, match=r"sum_nats of 'arm'\[1, 0\] is nan"):
        loss_arm([[1, 2], [np.nan, 4]])


def test_one_document_that_is_most_of_the_text_has_a_wide_interval_and_no_error():
    sizes_D = np.array([1.0] * 9 + [300.0])
    sums_SD = np.random.default_rng(0).normal(size=(5, 10)) * sizes_D
    estimate = ratio_estimate(sums_SD, sizes_D)
    assert min(estimate.dfs) == 1.0
    assert np.isfinite([estimate.detectable(0.05 / 60), *estimate.interval(0.05)]).all()
