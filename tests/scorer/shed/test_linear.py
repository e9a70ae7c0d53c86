"""Utilities of embeddings: golden values, the closed form of nearest neighbours against enumeration."""

import json

import numpy as np
import pytest

from delt_exp.encoder.hashing import HashingEncoder
from delt_exp.errors import ConfigError
from delt_exp.scorer.shed.estimators import exact, halves
from delt_exp.scorer.shed.game import Game
from delt_exp.scorer.shed.linear import NeighbourUtility, NeighbourWorth, RidgeUtility, RidgeWorth
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
    assert utility.forecast(pool.sizes, pool.resources, 10) == []


def test_more_topics_than_different_target_documents_are_refused(tmp_path):
    pool = make_pool(tmp_path, words(12), words(4) * 3)
    message = "scorer.utility.num_labels=9, but 12 documents have only 4 different embeddings; use .*=4 or fewer"
    with pytest.raises(ConfigError, match=message):
        RidgeUtility(9, 0.1, 0).open(pool, np.arange(12), HashingEncoder(64, 0))
