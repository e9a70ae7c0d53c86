"""Estimators of the value of clusters: known answers by hand, enumeration, golden values, the law of group removal."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delt_exp.errors import DataError
from delt_exp.scorer.shed.estimators import PENALTIES, _ridge, exact, halves, permutation, removal
from delt_exp.scorer.utility.game import Game
from tests.scorer.shed.golden import GOLDEN, needs_golden

COVERED = [{0, 1, 2}, {0, 1, 2}, {2, 3}, {4}, {4, 5, 6, 7}, {8}]
COVERAGE = [2 / 15, 2 / 15, 2 / 15, 1 / 20, 7 / 20, 1 / 10]


class Function:
    """The worth that a function of the members of a set says; counts what it is asked."""

    def __init__(self, function):
        self.function, self.num_asked = function, 0

    def of(self, sets):
        self.num_asked += len(sets)
        return np.array([self.function(np.flatnonzero(one)) for one in sets], np.float64)


def game_of(count, function):
    return Game(Function(function), np.arange(count, dtype=np.uint64))


def coverage():
    return game_of(6, lambda members: len(set().union(*(COVERED[i] for i in members))) / 10)


def additive(worths, empty=0.25):
    return game_of(len(worths), lambda members: empty + sum(worths[i] for i in members))


def random_game(count, seed):
    values = np.random.default_rng(seed).normal(size=2**count)
    return game_of(count, lambda members: values[sum(1 << int(i) for i in members)])


def all_orders(count):
    return np.array(list(itertools.permutations(range(count))))


def test_an_element_that_m_sets_cover_gives_each_an_mth_of_its_worth():
    assert exact(coverage()) == pytest.approx(COVERAGE, abs=1e-12)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 5))
def test_exact_values_are_the_mean_over_all_orders(seed, count):
    game = random_game(count, seed)
    orders = all_orders(count)
    np.testing.assert_allclose(permutation(game, orders, 0.0).values, exact(game), atol=1e-12)
    np.testing.assert_allclose(removal(game, orders, 1).values, exact(game), atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), groups_of=st.integers(1, 5))
def test_credits_add_up_to_what_all_are_worth_more_than_none(seed, groups_of):
    game = random_game(5, seed)
    orders = np.random.default_rng(seed).permuted(np.tile(np.arange(5), (3, 1)), axis=1)
    gain = game.everything - game.nothing
    assert exact(game).sum() == pytest.approx(gain)
    for order in orders:
        assert removal(game, order[None], groups_of).values.sum() == pytest.approx(gain)
        assert permutation(game, order[None], 0.0).values.sum() == pytest.approx(gain)


@pytest.mark.parametrize("orders", [[[2, 0, 5, 1, 3, 4]], [[5, 4, 3, 2, 1, 0]]])
def test_single_removals_give_the_worths_of_an_additive_utility_whatever_the_order(orders):
    worths = [0.3, 0.2, -0.1, 0.05, 0.0, 0.25]
    assert removal(additive(worths), np.array(orders), 1).values == pytest.approx(worths, abs=1e-12)
    assert permutation(additive(worths), np.array(orders), 0.0).values == pytest.approx(worths, abs=1e-12)


def test_removing_all_at_once_gives_everybody_the_same():
    assert removal(coverage(), np.array([[3, 1, 0, 2, 5, 4]]), 6).values == pytest.approx([0.9 / 6] * 6)


def test_copies_tie_and_what_never_changes_the_utility_is_worth_0():
    game = game_of(4, lambda members: float(bool({0, 1} & set(members.tolist()))) + 2.0 * (2 in members))
    assert exact(game) == pytest.approx([0.5, 0.5, 2.0, 0.0])


@needs_golden
@pytest.mark.parametrize("name", ["additive", "coverage"])
def test_golden_values(name):
    golden = json.loads((GOLDEN / "shed.json").read_text())[name]
    game = additive(golden["worths"], golden["empty"]) if name == "additive" else coverage()
    np.testing.assert_allclose(exact(game), golden["shapley"], atol=1e-12)
    orders = np.array(golden["removal_orders"])
    for size in (1, 2, 4):
        found = removal(game, orders, size)
        np.testing.assert_allclose(found.values, golden[f"estimate_groups_of_{size}"], atol=1e-12)
        sizes = np.array(
            [[len(order[place // size * size :][:size]) for place in np.argsort(order)] for order in orders]
        )
        published = np.mean([removal(game, orders[[k]], size).values * sizes[k] for k in range(len(orders))], axis=0)
        np.testing.assert_allclose(published, golden[f"credit_undivided_groups_of_{size}"], atol=1e-12)
        every = removal(game, all_orders(6), size).values
        np.testing.assert_allclose(every, golden[f"expectation_groups_of_{size}"], atol=1e-12)


@pytest.mark.parametrize("size", [2, 3, 6])
def test_group_removal_shrinks_the_contrasts_of_an_additive_utility_by_the_size_of_its_groups(size):
    worths = np.array([0.3, 0.2, -0.1, 0.05, 0.0, 0.25])
    others = (worths.sum() - worths) / 5
    expected = worths / size + (size - 1) / size * others
    found = removal(additive(worths.tolist()), all_orders(6), size).values
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_correlation_of_group_removal_with_the_truth_is_that_of_its_law():
    """r = sqrt(k / (k + n - 1 + 2 s_v^2 / s_a^2)); noise of v of s_v, worths of spread s_a."""
    count, size, times, noise = 600, 12, 10, 3.0
    draws, found = np.random.default_rng(0), []
    for _ in range(12):
        worths = draws.normal(size=count)
        game = Game(Function(lambda members, a=worths: a[members].sum() + noise * draws.normal()),
                    np.arange(count, dtype=np.uint64))  # fmt: skip
        orders = draws.permuted(np.tile(np.arange(count), (times, 1)), axis=1)
        found.append(np.corrcoef(removal(game, orders, size).values, worths)[0, 1])
    expected = math.sqrt(times / (times + size - 1 + 2 * noise**2))
    # Around 0.51; v of all is one number in all orders, and each r has an error of about (1 - r^2) / sqrt(C).
    assert np.mean(found) == pytest.approx(expected, abs=5 * (1 - expected**2) / math.sqrt(count * len(found)) + 0.01)


def test_all_halves_give_banzhaf_values():
    game = random_game(4, 7)
    sets = np.array(list(itertools.product([False, True], repeat=4)))
    found = halves(game, sets).values
    for cluster in range(4):
        without = sets[~sets[:, cluster]]
        added = without.copy()
        added[:, cluster] = True
        assert found[cluster] == pytest.approx((game(added) - game(without)).mean())


def test_random_halves_are_within_their_standard_error_of_banzhaf_values():
    game = random_game(5, 3)
    truth = halves(game, np.array(list(itertools.product([False, True], repeat=5)))).values
    found = halves(game, np.random.default_rng(1).random((2000, 5)) < 0.5)
    assert (np.abs(found.values - truth) < 5 * found.errors).all()
    assert (found.errors > 0).all()


def test_fewer_pairs_than_clusters_are_a_ridge_regression_with_the_jackknife_of_its_solution():
    draws = np.random.default_rng(0)
    worths = draws.normal(size=30)
    sets = draws.random((20, 30)) < 0.5
    game = additive(worths.tolist())
    found = halves(game, sets)
    signs, gains = np.where(sets, 1.0, -1.0), game(sets) - game(~sets)

    def ridge(rows, penalty):
        return np.linalg.solve(signs[rows].T @ signs[rows] + penalty * np.eye(30), signs[rows].T @ gains[rows])

    rows = np.arange(20)
    penalties = np.logspace(-3, 4, 15) * 30
    best = min(penalties, key=lambda p: np.abs(ridge(rows, p) - found.values).max())
    np.testing.assert_allclose(found.values, ridge(rows, best), atol=1e-8)
    left_out = np.array([ridge(rows[rows != row], best) for row in rows])
    jackknife = np.sqrt(19 / 20 * ((left_out - left_out.mean(0)) ** 2).sum(0))
    np.testing.assert_allclose(found.errors, jackknife, rtol=1e-6)
    assert np.corrcoef(found.values, worths)[0, 1] > 0.6


def test_halves_see_more_than_group_removal_from_as_many_evaluations():
    count, size, times, noise, seen = 300, 10, 10, 5.0, []
    draws = np.random.default_rng(5)
    for _ in range(6):
        worths = draws.normal(size=count)
        noisy = lambda members, a=worths: a[members].sum() + noise * draws.normal()  # noqa: E731
        orders = draws.permuted(np.tile(np.arange(count), (times, 1)), axis=1)
        removed = removal(game_of(count, noisy), orders, size).values
        halved = halves(game_of(count, noisy), draws.random((times * count // size // 2, count)) < 0.5).values
        seen.append([np.corrcoef(one, worths)[0, 1] for one in (removed, halved)])
    assert np.mean(seen, axis=0)[1] > np.mean(seen, axis=0)[0] + 0.1


def test_an_order_ends_where_all_is_nearly_reached_and_its_share_is_told():
    game = additive([1.0, 1.0, 1e-6, 1e-6], empty=0.0)
    found = permutation(game, np.array([[0, 1, 2, 3], [2, 0, 1, 3]]), 1e-3)
    np.testing.assert_allclose(found.values, [1, 1, 0.5e-6, 0], atol=1e-12)  # 1, 1, 0, 0 and 1, 1, 1e-6, 0
    np.testing.assert_allclose(found.errors, [0, 0, 0.5e-6, 0], atol=1e-12)
    assert found.truncated == 3 / 8


def test_the_errors_of_too_few_halves_are_those_of_the_jackknife():
    """The ridge fitted anew without each pair, at the penalty of all."""
    draws = np.random.default_rng(3)
    signs_KC = np.where(draws.random((6, 9)) < 0.5, 1.0, -1.0)
    difference_K = draws.normal(size=6)
    found = _ridge(signs_KC, difference_K)

    def values(rows, penalty):
        gram = signs_KC[rows] @ signs_KC[rows].T
        return signs_KC[rows].T @ np.linalg.solve(gram + penalty * np.eye(len(rows)), difference_K[rows])

    (penalty,) = [p for p in 9 * PENALTIES if np.allclose(values(range(6), p), found.values, rtol=1e-9)]
    without = np.array([values(np.delete(np.arange(6), k), penalty) for k in range(6)])
    variance = 5 / 6 * np.square(without - without.mean(0)).sum(0)
    np.testing.assert_allclose(found.errors, np.sqrt(variance), rtol=1e-9)


def test_a_set_is_evaluated_once():
    game = coverage()
    first = exact(game)
    np.testing.assert_array_equal(exact(game), first)
    assert game.worth.num_asked == 64


def test_a_worth_that_is_not_finite_is_refused_with_size_and_ids():
    game = Game(Function(lambda members: math.nan if len(members) == 3 else 0.0), np.arange(3, dtype=np.uint64) + 10)
    with pytest.raises(DataError, match=r"a set of 3 proxies \(ids 000000000000000a, 000000000000000b, .* is nan"):
        exact(game)
