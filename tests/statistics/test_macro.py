"""Differences over items, seeds and tasks: known answers by hand, and intervals that cover what they promise."""

import numpy as np
import pytest
from scipy.stats import t as student

from delt_exp.errors import DataError
from delt_exp.statistics.macro import (
    TaskDifference,
    crossed_difference,
    macro_mean,
    nested_difference,
    unpaired_difference,
)

SIMULATIONS = 1000


def one_seed(*differences, sizes=None):
    sums_SN = np.array([differences], float)
    return crossed_difference(sums_SN, np.ones(len(differences)) if sizes is None else np.array(sizes, float))


def test_one_seed_gives_the_paired_t_interval_over_items():
    # Mean 1/2, variance 1/3, error sqrt(1/12); all deviations are as large, so the degrees of freedom are 4 - 1.
    estimate = one_seed(1, 1, 0, 0).estimate
    assert estimate.value == 0.5
    assert estimate.stderr == pytest.approx(12**-0.5)
    assert estimate.dfs == (3,)
    assert estimate.interval(0.05) == pytest.approx((0.5 - 3.182446 * 12**-0.5, 0.5 + 3.182446 * 12**-0.5))


def test_a_difference_in_one_answer_of_a_thousand_proves_nothing():
    estimate = one_seed(1, *[0] * 999).estimate
    assert estimate.dfs == (1,)
    assert estimate.p == pytest.approx(0.5, abs=1e-3)
    low, high = estimate.interval(0.05)
    assert low < 0 < high


def test_equal_answers_have_no_difference_and_no_claim():
    estimate = one_seed(*[0] * 10).estimate
    assert (estimate.value, estimate.stderr, estimate.p) == (0, 0, 1)


def test_a_mean_per_word_weighs_items_by_their_words():
    assert one_seed(2, 3, sizes=(1, 4)).estimate.value == 1


def test_joined_items_count_once():
    # Four answers about two texts, each text all right or all wrong: two texts, not four answers.
    joined, apart = one_seed(2, 0, sizes=(2, 2)).estimate, one_seed(1, 1, 0, 0).estimate
    assert joined.value == apart.value
    assert joined.stderr == pytest.approx(0.5)  # of two numbers 1 and 0: sqrt(1/2 / 2)
    assert apart.stderr < joined.stderr


def test_items_of_their_own_leave_the_t_interval_over_seeds():
    estimate = nested_difference(np.array([1.0, 2.0, 3.0])).estimate
    half_width = 4.302653 / 3**0.5
    assert estimate.interval(0.05) == pytest.approx((2 - half_width, 2 + half_width))


def test_the_mean_over_tasks_adds_the_variances_of_their_items():
    # Variances 1/12 and 4/3, weights 1/2; degrees of freedom (1/48 + 1/3)^2 / ((1/48)^2 / 3 + (1/3)^2 / 3) = 867/257.
    estimate = macro_mean([one_seed(1, 1, 0, 0), one_seed(4, 0, 4, 0)], np.array([0.5, 0.5]))
    assert estimate.value == 1.25
    assert estimate.stderr == pytest.approx((17 / 48) ** 0.5)
    assert estimate.df == pytest.approx(867 / 257)


def test_a_seed_that_is_better_is_so_on_all_tasks():
    # Every item of both tasks moves with the seed: two tasks say no more about seeds than one.
    sums_SN = np.array([[1.0] * 4, [2.0] * 4, [3.0] * 4])
    task = crossed_difference(sums_SN, np.ones(4))
    both = macro_mean([task, task], np.array([0.5, 0.5]))
    assert both.stderr == pytest.approx(task.estimate.stderr) == pytest.approx(3**-0.5)
    assert both.interval(0.05) == pytest.approx(nested_difference(np.array([1.0, 2.0, 3.0])).estimate.interval(0.05))


def test_seeds_and_items_that_are_not_paired_are_taken_apart():
    # Seeds 0 and 2 on items 1, 5, 3 without a rest, against seeds -1 and 1 with a rest of 1, -1, 0 and -1, 1, 0.
    # Items: 1, 5, 3 around 3, variance 4 / 3; the rest has a mean square of (1 + 1 + 1 + 1) / 2 = 2, of 6 numbers.
    first_SN = np.array([[0.0], [2.0]]) + np.array([0.0, 4.0, 2.0])
    second_RN = np.array([[-1.0, -1, -1], [1, 1, 1]]) + np.array([[1.0, -1, 0], [-1, 1, 0]])
    task = unpaired_difference(first_SN, second_RN, np.ones(3))
    assert task.estimate.value == 3
    assert task.estimate.variances == pytest.approx((2 / 2, 2 / 2, 4 / 3 - 2 / 6))
    assert task.estimate.dfs[:2] == (1, 1)
    alone = macro_mean([task], np.ones(1))
    assert alone.value == 3
    assert alone.variances == pytest.approx(task.estimate.variances)
    assert alone.dfs == pytest.approx(task.estimate.dfs)


def test_the_mean_over_one_task_is_that_task():
    random = np.random.default_rng(0)
    task = crossed_difference(random.normal(size=(3, 20)), random.integers(1, 9, 20).astype(float))
    alone = macro_mean([task], np.ones(1))
    assert alone.value == pytest.approx(task.estimate.value)
    assert alone.interval(0.05) == pytest.approx(task.estimate.interval(0.05))


def test_one_item_has_no_error():
    with pytest.raises(DataError, match="at least 2 items"):
        one_seed(1)


def accuracies(random):
    """Two models that differ in a fifth of 300 answers, one in 0.06 more of them."""
    return one_seed(*random.choice([1, 0, -1], 300, p=[0.13, 0.8, 0.07])), 0.06


def seeds_and_items(random):
    effect_SN = random.normal(0, 0.5, (5, 1)) + random.normal(0, 1, 100) + random.normal(0, 1, (5, 100))
    return crossed_difference(0.3 + effect_SN, np.ones(100)), 0.3


def clusters(random):
    """Four questions about each of 60 texts: what they share is not to be counted four times."""
    return one_seed(*(4 * random.normal(0, 1, 60) + random.normal(0, 1, (60, 4)).sum(1)), sizes=[4] * 60), 0.0


def nested(random):
    return nested_difference(random.normal(0, 0.3, 5) + random.normal(0, 1, (5, 50)).mean(1)), 0.0


def five_tasks(random):
    tasks = [one_seed(*random.normal(0.1, spread, 60)) for spread in (0.5, 1, 1, 2, 3)]
    return TaskDifference(macro_mean(tasks, np.full(5, 0.2)), np.zeros(1)), 0.1


def tasks_with_seeds(random):
    seed_S1 = random.normal(0, 0.3, (5, 1))
    tasks = [crossed_difference(seed_S1 + random.normal(0, 1, (5, 50)), np.ones(50)) for _ in range(3)]
    return TaskDifference(macro_mean(tasks, np.full(3, 1 / 3)), np.zeros(1)), 0.0


def unpaired(random):
    """Three tasks, 5 seeds against 8, items that both sides share."""
    seeds = [random.normal(0, 0.3, (count, 1)) for count in (5, 8)]
    tasks = []
    for _ in range(3):
        item_N, own = random.normal(0, 1, 50), random.normal(0, 0.5, (2, 50))
        sides = [s + item_N + o + random.normal(0, 1, (len(s), 50)) for s, o in zip(seeds, own, strict=True)]
        tasks.append(unpaired_difference(sides[0] + 0.2, sides[1], np.ones(50)))
    return TaskDifference(macro_mean(tasks, np.full(3, 1 / 3)), np.zeros(1)), 0.2


@pytest.mark.parametrize(
    "study",
    [accuracies, seeds_and_items, clusters, nested, unpaired, five_tasks, tasks_with_seeds],
    ids=lambda one: one.__name__,
)  # fmt: skip
def test_95_percent_intervals_cover_the_truth_in_93_to_97_of_100_studies(study):
    random, covered = np.random.default_rng(0), 0
    for _ in range(SIMULATIONS):
        found, truth = study(random)
        low, high = found.estimate.interval(0.05)
        covered += low <= truth <= high
    assert 0.93 <= covered / SIMULATIONS <= 0.97


def test_the_degrees_of_freedom_are_those_of_student():
    low, high = nested_difference(np.array([0.0, 1.0, 0.0, 1.0])).estimate.interval(0.1)
    assert high - low == pytest.approx(2 * student.ppf(0.95, 3) * (1 / 3 / 4) ** 0.5)
