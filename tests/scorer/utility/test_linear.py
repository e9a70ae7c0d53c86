"""Utilities of embeddings: golden values, the closed form of nearest neighbours against enumeration."""

import json
import math

import numpy as np
import pytest

from delt_exp.encoder.hashing import HashingEncoder
from delt_exp.errors import ConfigError, DataError
from delt_exp.model.cost import Sizes
from delt_exp.scorer.shed.estimators import exact, halves, permutation, removal
from delt_exp.scorer.utility.game import Asked, Game
from delt_exp.scorer.utility.linear import NeighbourUtility, RidgeUtility
from delt_exp.scorer.utility.neighbours import NeighbourWorth
from delt_exp.scorer.utility.ridge import RidgeWorth
from tests.helpers import make_pool, words
from tests.scorer.shed.golden import GOLDEN, needs_golden


def game_of(worth, count):
    return Game(worth, np.arange(count, dtype=np.uint64))


@needs_golden
def test_golden_ridge_values():
    golden = json.loads((GOLDEN / "shed_ridge.json").read_text())
    columns = [np.array(golden[name]) for name in ("inputs", "outputs", "target_inputs", "target_outputs")]
    worth = RidgeWorth(columns[0], columns[1][:, None], columns[2], columns[3][:, None], golden["penalty"])
    game = game_of(worth, 6)
    assert game.everything == pytest.approx(golden["utility_of_all"], abs=1e-9)
    assert game.nothing == pytest.approx(golden["utility_of_none"], abs=1e-9)
    np.testing.assert_allclose(exact(game), golden["shapley"], atol=1e-9)
    without = game.everything - game(~np.eye(6, dtype=bool))
    np.testing.assert_allclose(without, golden["leave_one_out"], atol=1e-9)
    every = (np.arange(64)[:, None] >> np.arange(6) & 1).astype(bool)
    np.testing.assert_allclose(halves(game, every).values, golden["banzhaf"], atol=1e-9)


def test_ridge_is_the_same_by_either_system():
    draws = np.random.default_rng(0)
    inputs, outputs, target, wanted = (draws.normal(size=shape) for shape in ((9, 4), (9, 2), (5, 4), (5, 2)))
    worth = RidgeWorth(inputs, outputs, target, wanted, 0.3)
    for count in range(1, 10):
        weights = np.linalg.solve(
            inputs[:count].T @ inputs[:count] + 0.3 * np.eye(4), inputs[:count].T @ outputs[:count]
        )
        expected = -((target @ weights - wanted) ** 2).sum(1).mean()
        assert worth.of(np.array([np.arange(9) < count]))[0] == pytest.approx(expected)


class Slow:
    """A worth by its sets alone, so that no shorter way along an order is taken."""

    def __init__(self, worth):
        self.of = worth.of


def ridge_worth(count, width, num_labels=3, penalty=0.1, seed=0):
    draws = np.random.default_rng(seed)
    vectors = draws.normal(size=(count + 30, width)) + draws.normal(size=width)  # alike, as embeddings are
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = np.eye(num_labels)[draws.integers(0, num_labels, count + 30)]
    return RidgeWorth(vectors[:count], labels[:count], vectors[count:], labels[count:], penalty)


def neighbour_worth(count, num_neighbours, seed=0):
    draws = np.random.default_rng(seed)
    vectors, target = draws.normal(size=(count, 4)), draws.normal(size=(30, 4))
    return NeighbourWorth.between(
        vectors, draws.integers(0, 3, count), target, draws.integers(0, 3, 30), num_neighbours
    )


def orders_of(num_orders, count):
    return np.random.default_rng(1).permuted(np.tile(np.arange(count), (num_orders, 1)), axis=1)


@pytest.mark.parametrize("penalty", [0.1, 1e-4])
@pytest.mark.parametrize(("block", "refresh"), [(5, 15), (7, 1000), (1, 3), (64, 64)])
def test_ridge_along_an_order_is_that_of_each_beginning_by_itself(monkeypatch, penalty, block, refresh):
    monkeypatch.setattr("delt_exp.scorer.utility.ridge.BLOCK", block)
    monkeypatch.setattr("delt_exp.scorer.utility.ridge.REFRESH", refresh)
    worth, (order,) = ridge_worth(50, 12, penalty=penalty), orders_of(1, 50)
    begun = np.array([np.isin(np.arange(50), order[:size]) for size in range(1, 51)])
    np.testing.assert_allclose(list(worth.along(order)), worth.of(begun), rtol=0, atol=1e-8)


@pytest.mark.slow
def test_rounding_does_not_add_up_over_many_proxies():
    worth, (order,) = ridge_worth(4000, 64, penalty=1e-3), orders_of(1, 4000)
    sizes = np.array([1, 63, 64, 65, 1023, 1024, 1025, 2500, 4000])
    begun = np.array([np.isin(np.arange(4000), order[:size]) for size in sizes])
    np.testing.assert_allclose(np.array(list(worth.along(order)))[sizes - 1], worth.of(begun), rtol=0, atol=1e-8)


@pytest.mark.parametrize("num", [1, 3, 50])
def test_neighbours_along_an_order_are_those_of_each_beginning_by_itself(num):
    worth, (order,) = neighbour_worth(40, num), orders_of(1, 40)
    begun = np.array([np.isin(np.arange(40), order[:size]) for size in range(1, 41)])
    np.testing.assert_array_equal(list(worth.along(order)), worth.of(begun))


@pytest.mark.parametrize("worth", [ridge_worth(23, 6), neighbour_worth(23, 3)], ids=["ridge", "neighbours"])
@pytest.mark.parametrize("tolerance", [0.0, 0.03, 10.0])
def test_values_from_orders_are_those_of_the_sets_by_themselves_and_no_set_is_kept(worth, tolerance):
    orders, game = orders_of(4, 23), game_of(worth, 23)
    found, expected = (permutation(one, orders, tolerance) for one in (game, game_of(Slow(worth), 23)))
    np.testing.assert_allclose([found.values, found.errors], [expected.values, expected.errors], rtol=0, atol=1e-8)
    assert found.truncated == expected.truncated
    for size in (1, 5, 23):
        taken, by_sets = (removal(one, orders, size) for one in (game, game_of(Slow(worth), 23)))
        np.testing.assert_allclose([taken.values, taken.errors], [by_sets.values, by_sets.errors], rtol=0, atol=1e-8)
    assert len(game.known) == 2  # nothing and everything
    assert game.num_asked >= 3 * 4 * 23


def test_a_worth_along_an_order_that_is_not_finite_is_refused_with_size_and_ids():
    class Broken(Slow):
        def along(self, order):
            yield from (0.5, math.nan)

    game = game_of(Broken(ridge_worth(3, 2)), 3)
    with pytest.raises(DataError, match=r"a set of 2 proxies \(ids 0000000000000001, 0000000000000002 .* is nan"):
        list(game.along(np.array([1, 2, 0])))


@pytest.mark.parametrize("num", [1, 3, 8, 20])
def test_the_closed_form_of_nearest_neighbours_is_that_of_enumeration(num):
    draws = np.random.default_rng(num)
    vectors, target = draws.normal(size=(8, 3)), draws.normal(size=(6, 3))
    labels, wanted = draws.integers(0, 2, 8), draws.integers(0, 2, 6)
    worth = NeighbourWorth.between(vectors, labels, target, wanted, num)
    np.testing.assert_allclose(worth.shapley(), exact(game_of(worth, 8)), atol=1e-12)


def test_nearest_neighbours_by_hand():
    # proxies at 0, 1, 3 with labels 0, 1, 0; one target at 0.9 of label 0: the order is 1, 0, 3
    worth = NeighbourWorth.between(
        np.array([[0.0], [1.0], [3.0]]), np.array([0, 1, 0]), np.array([[0.9]]), np.array([0]), 1
    )
    sets = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 1], [0, 0, 0]], bool)
    assert worth.of(sets).tolist() == [1, 0, 0, 1, 0]
    # farthest: 1/3; the middle the same; the nearest: 1/3 + (0 - 1) * 1 = -2/3
    assert worth.shapley() == pytest.approx([1 / 3, -2 / 3, 1 / 3])


@pytest.mark.parametrize("utility", [RidgeUtility(3, 0.1, 0), NeighbourUtility(3, 2, 0)])
def test_proxies_that_are_the_target_are_worth_more_than_one_alone(tmp_path, utility):
    pool = make_pool(tmp_path, words(12), words(12))
    worth = utility.open(pool, np.arange(12), HashingEncoder(64, 0))
    one, every = worth.of(np.array([np.arange(12) < 1, np.ones(12, bool)]))
    assert every > one


def test_forecasts_by_hand():
    """Sets of 3000 have 1500 members, more than the 384 numbers of a vector; those of 64 have 32."""
    sizes = Sizes(np.array([9]), 1000, 1, None)

    def flops(utility, *asked):
        (cost,) = utility.forecast(sizes, None, Asked(*asked))
        return cost.flops

    target = 2 * 1000 * 384 * 8
    ridge, neighbours = RidgeUtility(8, 0.1, 0), NeighbourUtility(8, 5, 0)
    assert flops(ridge, 10, 3000, 0) == pytest.approx(10 * (2 * 1500 * 384**2 + 2 / 3 * 384**3 + target))
    assert flops(ridge, 10, 64, 0) == pytest.approx(10 * (2 * 32**2 * 384 + 2 / 3 * 32**3 + target))
    assert flops(ridge, 500 * 2999 + 2, 3000, 500) == 500 * 3000 * 8 * 384**2
    assert flops(neighbours, 10, 64, 0) == 1000 * (2 * 384 * 64 + 10 * 64)
    assert flops(neighbours, 640, 64, 10) == 1000 * (2 * 384 * 64 + 640 * 5)


def test_more_topics_than_different_target_documents_are_refused(tmp_path):
    pool = make_pool(tmp_path, words(12), words(4) * 3)
    message = "scorer.utility.num_labels=9, but 12 documents have only 4 different embeddings; use .*=4 or fewer"
    with pytest.raises(ConfigError, match=message):
        RidgeUtility(9, 0.1, 0).open(pool, np.arange(12), HashingEncoder(64, 0))
