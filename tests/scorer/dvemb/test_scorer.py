"""Data Value Embedding through the scorer: coverage, sums over epochs, processes, restart, evidence, refusals."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from delt_exp.errors import ConfigError, DivergedError
from delt_exp.proxy.trained import TrainedProxy
from delt_exp.scorer.dvemb.scorer import DvembScorer
from delt_exp.scorer.reverse.shown import Shown
from tests.helpers import TRAINER, make_pool, tiny_recipe, words

PROXY = TrainedProxy(tiny_recipe(), "sample", 2_000, 0)


def scorer(**changes: Any) -> DvembScorer:
    values: dict[str, Any] = {"proxy": PROXY, "epochs": 1, "batch_documents": 5, "lr": 0.05, "curvature": "hessian"}
    values |= {"groups": "one", "num_target": None, "context_tokens": 16, "precision": "fp32", "seed": 0}
    return DvembScorer(**values | changes)


def fresh_pool(folder: Any) -> Any:
    return make_pool(folder, words(24), target_texts=words(6, seed=8))


def test_every_document_is_used_in_each_epoch_and_valued_by_the_sum(tmp_path: Any) -> None:
    pool = fresh_pool(tmp_path)
    scores = scorer(epochs=2).score(pool)
    table = pool.evidence.read_table("occurrences").to_pydict()
    ids = pool.candidates.corpus.ids
    assert len(np.unique(scores)) == 24
    sums = dict.fromkeys(ids.tolist(), 0.0)
    for document, value in zip(table["id"], table["value"], strict=True):
        sums[document] += value
    np.testing.assert_allclose(scores, [sums[document] for document in ids.tolist()], rtol=1e-6)
    for epoch in range(2):  # 24 documents in updates of 5 5 5 5 4
        used = [i for i, update in zip(table["id"], table["update"], strict=True) if (update - 1) // 5 == epoch]
        assert sorted(used) == sorted(ids.tolist())
    assert sorted(np.unique(table["update"], return_counts=True)[1].tolist()) == [4, 4, 5, 5, 5, 5, 5, 5, 5, 5]


def test_some_documents_have_the_values_they_have_among_all(tmp_path: Any) -> None:
    pool, some = fresh_pool(tmp_path), np.array([3, 8, 20])
    np.testing.assert_array_equal(scorer().score(replace(pool, chosen=some)), scorer().score(pool)[some])
    assert [use.cached for use in pool.resources.store.uses if use.stage == "document values"] == [False, True]


def test_curvatures_give_other_values(tmp_path: Any) -> None:
    pool = fresh_pool(tmp_path)
    found = [scorer(curvature=name, lr=0.5).score(pool) for name in ("hessian", "gauss_newton", "fisher", "none")]
    assert all(not np.array_equal(a, b) for i, a in enumerate(found) for b in found[:i])


def test_a_source_of_the_target_has_a_column_of_values(tmp_path: Any) -> None:
    pool = fresh_pool(tmp_path)
    one = scorer().score(pool)
    np.testing.assert_allclose(scorer(groups="source").score(pool), one, rtol=1e-5, atol=1e-9)


@pytest.mark.slow
def test_several_processes_give_the_same_scores(tmp_path: Any) -> None:
    alone = scorer().score(fresh_pool(tmp_path / "alone"))
    two, pool = replace(TRAINER, strategy="ddp", devices=2), fresh_pool(tmp_path / "two")
    together = scorer().score(replace(pool, resources=replace(pool.resources, trainer=two)))
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-6)


def test_an_interrupted_valuation_continues_to_the_same_scores(tmp_path: Any, monkeypatch: Any) -> None:
    undisturbed = scorer().score(fresh_pool(tmp_path / "undisturbed"))
    pool, original = fresh_pool(tmp_path / "interrupted"), Shown.__call__

    def interrupt(self: Shown, phase: str, done: int, total: int) -> None:
        original(self, phase, done, total)
        if phase == "reverse" and done >= 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Shown, "__call__", interrupt)
        with pytest.raises(KeyboardInterrupt):
            scorer().score(pool)
    np.testing.assert_array_equal(scorer().score(pool), undisturbed)


def test_the_forecast_names_the_phases_that_are_recorded(tmp_path: Any) -> None:
    pool = fresh_pool(tmp_path)
    costs = scorer().forecast(pool.sizes, pool.resources)
    scorer().score(pool)
    assert {cost.phase.split(":")[0] for cost in costs} == set(pool.evidence.contents()["phases"])
    assert {cost.phase: cost.passes for cost in costs}["values: products"] == 24


def test_pictures_and_numbers_are_left_as_evidence(tmp_path: Any) -> None:
    pool = fresh_pool(tmp_path)
    scorer().score(pool)
    contents = pool.evidence.contents()
    assert {"values_over_training", "values_per_drop", "valued_updates"} <= set(contents["figures"])
    numbers = contents["numbers"]["valuation"]["values"]
    assert (numbers["updates"], numbers["occurrences"]) == (5, 24)
    assert 0 < numbers["largest_lr_curvature"] < 1


def test_a_learning_rate_beyond_the_curvature_names_the_key_to_lower(tmp_path: Any) -> None:
    with pytest.raises(DivergedError, match=r"lower scorer\.lr \(50000\)"):
        scorer(lr=5e4).score(fresh_pool(tmp_path))


def test_wrong_settings_are_refused_with_a_cure(tmp_path: Any) -> None:
    pool = fresh_pool(tmp_path)
    with pytest.raises(ConfigError, match=r"scorer.num_target=99 is more than the 6 documents of the target set"):
        scorer(num_target=99).score(pool)
    assert not [use for use in pool.resources.store.uses if use.stage == "model"]  # before the proxy is trained
    with pytest.raises(ConfigError, match=r"num_target=0 is not allowed; set it to a whole number of at least 1"):
        scorer(num_target=0)
    with pytest.raises(ConfigError, match="curvature"):
        scorer(curvature="gauss")
    with pytest.raises(ConfigError, match=r"needs a target set; choose target_dataset"):
        scorer().score(make_pool(tmp_path, words(24)))
