"""Datamodels: the fit by hand, groups, planted values, and what a run leaves for readers and studies."""

from dataclasses import replace

import numpy as np
import pytest

from delt_exp.errors import ConfigError, DivergedError
from delt_exp.scorer.datamodel import scorer as module
from delt_exp.scorer.datamodel.evidence import read
from delt_exp.scorer.datamodel.fit import PENALTIES, fitted
from delt_exp.scorer.datamodel.groups import grouped, random_halves
from delt_exp.scorer.datamodel.scorer import DatamodelScorer
from delt_exp.scorer.utility.trained import RetrainUtility
from tests.helpers import make_pool, tiny_recipe, words


def contract_overrides(folder):
    sizes = ["scorer.group_documents=2", "scorer.num_fitted=3", "scorer.num_seeds=1", "scorer.num_held_out=0"]
    return [
        *sizes,
        "model.batch_items=1",
        "scorer.utility.train_tokens=32",
        "model.context_tokens=16",
        "scorer.utility.num_target=2",
    ]


def scorer(**changes):
    return replace(DatamodelScorer(RetrainUtility(tiny_recipe(), 300, 2, 0), 2, 40, 4, 12, 0), **changes)


@pytest.fixture
def plant(monkeypatch):
    """Let the worth of a set be a sum over its documents, with what the order of a seed adds to each, plus noise."""

    def planted(pool, value_of, noise=0.0, of_order=0.0):
        own_N = np.array([value_of(text) for text in pool.candidates.corpus.texts()])

        def of(worth, sets_MN):
            draws = np.random.default_rng(worth.trainings.seed)
            in_order_N = own_N + of_order * draws.standard_normal(len(own_N))
            return sets_MN @ in_order_N + noise * draws.standard_normal(len(sets_MN))

        monkeypatch.setattr(module.TrainingWorth, "of", of)

    return planted


def test_the_fit_of_exact_linear_worths_is_the_centred_values():
    halves = random_halves(8, 60, 0, "fitted")
    values = np.array([3.0, 1, -1, -3, 2, 0, -2, 0])
    fit = fitted(halves, 5 + halves @ values, np.zeros(60, int))
    np.testing.assert_allclose(fit.values_C, values, atol=1e-2)
    np.testing.assert_allclose(fit.predicted(halves), 5 + halves @ values, atol=2e-2)
    assert fit.penalty == pytest.approx(1e-4)


def test_the_penalty_of_the_fit_is_the_one_with_least_generalised_cross_validation_error():
    """By the hat matrix itself, as the definition has it."""
    halves, draws = random_halves(12, 20, 1, "fitted"), np.random.default_rng(0)
    worth = halves @ draws.standard_normal(12) + 2 * draws.standard_normal(20)
    centred = halves - halves.mean(0)
    scale = np.trace(centred.T @ centred) / 12

    def gcv(penalty):
        hat = centred @ np.linalg.solve(centred.T @ centred + penalty * scale * np.eye(12), centred.T) + 1 / 20
        return np.sum((worth - hat @ worth) ** 2) / np.trace(np.eye(20) - hat) ** 2

    assert fitted(halves, worth, np.zeros(20, int)).penalty == min(PENALTIES, key=gcv)


def test_every_seed_has_a_constant_of_its_own_that_is_not_penalised():
    """By the normal equations with a column for each seed."""
    halves, draws = random_halves(12, 30, 1, "fitted"), np.random.default_rng(0)
    seeds, constants = np.arange(30) % 3, np.array([100.0, -50.0, 7.0])
    worth = halves @ draws.standard_normal(12) + draws.standard_normal(30)
    fit = fitted(halves, worth + constants[seeds], seeds)
    of_seed = (seeds[:, None] == np.arange(3)).astype(float)
    design = np.hstack([halves, of_seed])
    centred = halves - of_seed @ (of_seed.T @ halves / 10)
    scale = np.trace(centred.T @ centred) / 12
    weights = np.diag([fit.penalty * scale] * 12 + [0.0] * 3)
    expected = np.linalg.solve(design.T @ design + weights, design.T @ (worth + constants[seeds]))
    np.testing.assert_allclose(fit.values_C, expected[:12] - expected[:12].mean(), atol=1e-9)
    np.testing.assert_allclose(fit.values_C, fitted(halves, worth, seeds).values_C, atol=1e-9)
    assert fit.predicted(halves).mean() == pytest.approx((worth + constants[seeds]).mean())


def test_groups_have_one_source_and_nearly_equal_sizes_whatever_the_order_of_the_rows():
    ids = np.random.default_rng(0).integers(0, 2**63, 50).astype(np.uint64)
    source = np.array(["a"] * 33 + ["b"] * 17)
    groups = grouped(ids, source, 4, 0)
    assert groups.sizes.sum() == 50
    for name, count in (("a", 8), ("b", 4)):
        sizes = groups.sizes[groups.source_C == name]
        assert (len(sizes), np.ptp(sizes) <= 1) == (count, True)
    assert (groups.source_C[groups.of_N] == source).all()
    turned = grouped(ids[::-1], source[::-1], 4, 0)
    assert turned.of_N[::-1].tolist() == groups.of_N.tolist()


def test_halves_hold_half_of_the_groups_and_each_group_as_often():
    halves = random_halves(11, 2000, 0, "fitted")
    assert set(halves.sum(1)) == {5}
    np.testing.assert_allclose(halves.mean(0), 5 / 11, atol=0.05)


def test_groups_of_planted_bad_documents_are_worth_less(tmp_path, plant):
    texts = [*words(20), *(f"spoiled {text}" for text in words(20, 1))]
    pool = make_pool(tmp_path, texts, words(4, 2))
    plant(pool, lambda text: -1.0 if text.startswith("spoiled") else 1.0, noise=0.5)
    scores = scorer(group_documents=1, num_fitted=200, num_held_out=100).score(pool)
    assert scores[:20].min() > scores[20:].max()
    numbers = pool.evidence.contents()["numbers"]["datamodel"]["values"]
    assert numbers["linear datamodeling score"] > 0.9
    assert 0.5 < numbers["retraining with itself, another seed"] < numbers["an exact prediction would have"] <= 1


def test_the_score_of_a_document_is_its_share_of_the_value_of_its_group(tmp_path, plant):
    pool = make_pool(tmp_path, words(10), words(4, 2))
    plant(pool, len)
    scores = scorer().score(pool)
    gold = read(pool.evidence)
    assert gold.ids_N.tolist() == pool.candidates.corpus.ids.tolist()
    np.testing.assert_allclose(scores, gold.values_C[gold.of_N] / 2, rtol=1e-5)
    assert gold.values_C.sum() == pytest.approx(0, abs=1e-9)


def test_what_is_left_for_a_study_is_what_was_measured(tmp_path, plant):
    pool = make_pool(tmp_path, words(10), words(4, 2))
    plant(pool, len, noise=1.0)
    scorer().score(pool)
    gold = read(pool.evidence)
    np.testing.assert_array_equal(gold.held_out_MC, random_halves(5, 12, 0, "held out"))
    assert (gold.first_M != gold.again_M).all()
    halves = pool.evidence.read_table("halves").to_pydict()
    assert halves["part"] == ["fitted"] * 40 + ["held out"] * 12
    assert halves["worth_again"][:40] == [None] * 40


def test_held_out_halves_are_trained_from_two_seeds_that_no_fitted_half_was(tmp_path, monkeypatch):
    """All on the same target documents."""
    opened = []

    def of(worth, sets):
        opened.append((worth.trainings, len(sets)))
        return np.ones(len(sets))

    monkeypatch.setattr(module.TrainingWorth, "of", of)
    monkeypatch.setattr(module, "show", lambda *_: None)
    scorer().score(make_pool(tmp_path, words(10), words(6, 2)))
    assert [count for _, count in opened] == [10, 10, 10, 10, 12, 12]
    assert len({trainings.seed for trainings, _ in opened}) == 6
    assert len({tuple(trainings.target_rows) for trainings, _ in opened}) == 1


def test_values_from_several_seeds_predict_other_seeds_where_those_from_one_are_values_of_its_order(tmp_path, plant):
    pool = make_pool(tmp_path, words(40), words(4, 2))
    plant(pool, lambda text: len(text) / 10, of_order=3.0)
    found = {}
    for num_seeds in (1, 60):
        one = scorer(group_documents=1, num_fitted=180, num_seeds=num_seeds, num_held_out=100)
        one.score(pool)
        found[num_seeds] = pool.evidence.contents()["numbers"]["datamodel"]["values"]["linear datamodeling score"]
    assert found[60] > found[1] + 0.1


def test_noise_alone_warns_that_values_are_noise(tmp_path, plant):
    pool = make_pool(tmp_path, words(10), words(4, 2))
    plant(pool, lambda text: 0.0, noise=1.0)
    scorer(seed=1).score(pool)
    assert any("values are noise" in text for text in pool.evidence.contents()["warnings"])


def test_too_few_groups_or_halves_and_training_without_a_loss_are_refused(tmp_path, plant):
    pool = make_pool(tmp_path, words(10), words(4, 2))
    with pytest.raises(ConfigError, match=r"group_documents=5 makes 2 groups of 10 documents"):
        scorer(group_documents=5).score(pool)
    with pytest.raises(ConfigError, match=r"num_fitted=2 is too few"):
        scorer(num_fitted=2)
    with pytest.raises(ConfigError, match=r"num_seeds=14 leaves fewer than 3 of 40 halves to a seed; use at most 13"):
        scorer(num_seeds=14)
    plant(pool, lambda text: float("nan"))
    with pytest.raises(DivergedError, match=r"training on half 1 of 10 diverged"):
        scorer().score(pool)


def test_the_forecast_counts_every_training_run(tmp_path):
    pool = make_pool(tmp_path, words(10), words(4, 2))
    few, many = (
        sum(cost.flops for cost in scorer(num_fitted=n).forecast(pool.sizes, pool.resources)) for n in (16, 56)
    )
    assert many == pytest.approx(2 * few)
