"""The mean over tasks against numbers worked by hand, the estimate of one task, and simulated coverage."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from delt_exp.errors import DataError
from delt_exp.statistics.paired import LossArm, MetricArm
from delt_exp.statistics.tasks import mean_over_tasks
from tests.statistics.studies import loss_arm

ONES = np.ones
CASES = 2000
# Coverage of the nominal 95 %: within 93 % to 97 %, where the error of a simulation is 0.5 %.
LOW, HIGH = 0.93, 0.97


def same(one, other):
    assert one.over == other.over
    assert one.few_documents == other.few_documents
    found = [(e.value, *e.variances, *e.dfs, e.spread) for e in (one, other)]
    assert found[0] == pytest.approx(found[1], rel=1e-9, abs=1e-12)


def test_a_paired_difference_worked_by_hand():
    # 1, 0, 1 against 0, 0, 1 and 1, 0, 0, 0 against 0, 0, 0, 1: means 1/3 and 0, variances (1/3) / 3 and (2/3) / 4.
    first, second = np.array([[1.0, 0, 0]]), np.array([[1.0, 0, 0, -1]])
    estimate = mean_over_tasks([([first], ONES(3)), ([second], ONES(4))])
    assert estimate.value == pytest.approx(1 / 6)
    assert estimate.stderr == pytest.approx(math.sqrt(1 / 9 + 1 / 6) / 2)
    # Around the means: squares 4/9, 1/9, 1/9 are 36 / 18 = 2 effective items (1 degree of freedom); 1, 0, 0, 1 are 2.
    assert estimate.dfs == pytest.approx([(1 / 9 + 1 / 6) ** 2 / (1 / 81 + 1 / 36)])
    assert estimate.over == "documents"


def test_seeds_that_are_shared_by_tasks_are_not_taken_for_independent():
    # Seeds -1 and 1 on every item of both tasks: the mean over tasks varies as much as one task does.
    task = ([np.array([[-1.0, -1], [1, 1]])], ONES(2))
    estimate = mean_over_tasks([task, task])
    assert estimate.variances == pytest.approx((2 / 2, 0))
    assert estimate.dfs[0] == 1


def test_unpaired_seeds_are_welchs_test_where_items_do_not_differ():
    first, second = np.array([1.0, 2, 6]), np.array([4.0, 5])
    groups = [np.outer(first, ONES(4)), -np.outer(second, ONES(4))]
    estimate = mean_over_tasks([(groups, ONES(4))])
    welch = stats.ttest_ind(first, second, equal_var=False)
    assert estimate.value / estimate.stderr == pytest.approx(welch.statistic)
    assert estimate.df == pytest.approx(welch.df)
    assert estimate.dfs[:2] == (2, 1)


def test_one_item_a_seed_is_the_t_test_over_seeds():
    values = np.array([0.1, 0.2, 0.3])
    one = mean_over_tasks([([values[:, None]], ONES(1))])
    same(one, MetricArm("a", (0, 1, 2), values, "higher", "").estimate)


@given(
    sums=st.integers(1, 3).flatmap(lambda s: arrays(np.float64, (s, 4), elements=st.integers(-50, 50).map(float))),
    sizes=arrays(np.int64, 4, elements=st.integers(1, 20)),
)
def test_one_task_is_the_estimate_of_an_arm(sums, sizes):
    arm: LossArm = loss_arm(sums, sizes)
    ours = mean_over_tasks([([sums], sizes)])
    theirs = arm.estimate
    if (sizes == sizes[0]).all():
        assert theirs.few_documents  # of documents; that items of one size are few is in the degrees of freedom
        theirs = type(theirs)(**{**vars(theirs), "few_documents": False})
    same(ours, theirs)


@pytest.mark.parametrize(
    ("groups", "sizes", "message"),
    [
        ([np.array([[1.0]])], ONES(1), "no error"),
        ([np.array([[1.0, np.nan]])], ONES(2), "must be finite"),
        ([np.array([[1.0, 2]])], np.zeros(2), "must be positive"),
        ([np.array([[1.0, 2]])], ONES(3), "unequal length"),
    ],
)
def test_what_has_no_error_is_refused(groups, sizes, message):
    with pytest.raises(DataError, match=message):
        mean_over_tasks([(groups, sizes)])


def coverage(draw, truth):
    random = np.random.default_rng(0)
    intervals = np.array([mean_over_tasks(draw(random)).interval(0.05) for _ in range(CASES)])
    return np.mean((intervals[:, 0] <= truth) & (truth <= intervals[:, 1]))


def test_the_interval_of_accuracies_over_items_covers():
    # Two tasks of 200 and 400 questions; the systems disagree on 30 % and 20 % of them.
    def draw(random):
        chances = ((200, (0.2, 0.7, 0.1)), (400, (0.12, 0.8, 0.08)))
        return [([random.choice([1.0, 0.0, -1.0], (1, n), p=p)], ONES(n)) for n, p in chances]

    assert LOW <= coverage(draw, (0.1 + 0.04) / 2) <= HIGH


def test_the_interval_over_rare_disagreements_covers():
    # 8 of 400 questions are expected to differ.
    def draw(random):
        return [([random.choice([1.0, 0.0, -1.0], (1, 400), p=(0.012, 0.98, 0.008))], ONES(400))]

    assert LOW <= coverage(draw, 0.004) <= 0.985  # wider than needed: little is known of a variance from 8 questions


@pytest.mark.parametrize("is_paired", [True, False])
def test_the_interval_over_seeds_and_items_covers(is_paired):
    def system(random, num_seeds, sizes):
        seed_S = 0.5 * random.normal(size=num_seeds)
        items = [random.normal(size=n) for n in sizes]
        return [seed_S[:, None] + item_D + random.normal(size=(num_seeds, len(item_D))) for item_D in items]

    def draw(random):
        sizes, seeds = (60, 120), (5, 5 if is_paired else 8)
        first, second = (system(random, count, sizes) for count in seeds)
        return [([a - b] if is_paired else [a, -b], ONES(a.shape[1])) for a, b in zip(first, second, strict=True)]

    assert LOW <= coverage(draw, 0.0) <= HIGH


def test_clusters_of_items_cover_where_single_items_do_not():
    # 60 passages of 1 to 9 questions, whose differences have the passage in common.
    def clusters(random):
        sizes_D = random.integers(1, 10, 60)
        passages = [0.3 * random.normal() + 0.3 * random.normal(size=n) for n in sizes_D]
        return passages, sizes_D

    def by_passage(random):
        passages, sizes_D = clusters(random)
        return [([np.array([[values.sum() for values in passages]])], sizes_D)]

    def by_question(random):
        passages, _ = clusters(random)
        values = np.concatenate(passages)
        return [([values[None]], ONES(len(values)))]

    assert LOW <= coverage(by_passage, 0.0) <= HIGH
    assert coverage(by_question, 0.0) < 0.8
