"""Data Value Embedding through the scorer: coverage, sums, processes, restart, later targets, evidence, refusals."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from transformers import GPT2Config, GPT2LMHeadModel

from delt_exp.errors import ConfigError, DivergedError
from delt_exp.model.cost import ModelSize
from delt_exp.model.dpo import DPO
from delt_exp.model.fresh import FreshNetwork
from delt_exp.model.optimizer import SGD
from delt_exp.orderer.shuffle import shuffle
from delt_exp.scorer.dvemb import capture as capture_module
from delt_exp.scorer.dvemb.cost import Workload, forecast
from delt_exp.scorer.dvemb.job import dropout_of
from delt_exp.scorer.dvemb.scorer import DvembScorer
from delt_exp.scorer.reverse.shown import Shown
from delt_exp.trainer.planning import PlanSettings
from tests.helpers import TRAINER, make_pool, tiny_recipe, words

TRAINING = PlanSettings(layout="padded", epochs=2, max_tokens=None, completion_only=False)
PLAIN = tiny_recipe(optimizer=SGD(lr=0.05, momentum=0.0, weight_decay=0.0), clip_norm=None, context_tokens=64)


def scorer(**changes: Any) -> DvembScorer:
    values: dict[str, Any] = {"recipe": tiny_recipe(context_tokens=64), "training": TRAINING, "optimizer": None}
    values |= {
        "adam": "exact",
        "curvature": "hessian",
        "groups": "one",
        "num_target": None,
        "precision": "fp32",
        "seed": 0,
    }
    return DvembScorer(**values | {"save_embeddings": False, "num_features": 512} | changes)


def fresh_pool(folder: Any) -> Any:
    return make_pool(folder, words(24), target_texts=words(6, seed=8))


@pytest.mark.slow
def test_every_document_is_used_in_each_epoch_and_valued_by_the_sum(tmp_path: Any) -> None:
    pool = fresh_pool(tmp_path)
    scores = scorer().score(pool)
    table = pool.evidence.read_table("occurrences").to_pydict()
    ids = pool.candidates.corpus.ids
    assert len(np.unique(scores)) == 24
    sums = dict.fromkeys(ids.tolist(), 0.0)
    for document, value in zip(table["id"], table["value"], strict=True):
        sums[document] += value
    np.testing.assert_allclose(scores, [sums[document] for document in ids.tolist()], rtol=1e-6)
    for epoch in range(2):  # 24 documents in updates of 8
        used = [i for i, update in zip(table["id"], table["update"], strict=True) if (update - 1) // 3 == epoch]
        assert sorted(used) == sorted(ids.tolist())


@pytest.mark.slow
def test_the_order_is_that_of_a_run_that_keeps_all_and_shuffles_them(tmp_path: Any) -> None:
    pool = fresh_pool(tmp_path)
    scorer().score(pool)
    table = pool.evidence.read_table("occurrences").to_pydict()
    rows = shuffle(pool.candidates.corpus.candidates(np.zeros(24, np.float32)), seed=0)
    assert table["id"] == pool.candidates.corpus.ids[np.tile(rows, 2)].tolist()


@pytest.mark.slow
def test_some_documents_have_the_values_they_have_among_all(tmp_path: Any) -> None:
    pool, some = fresh_pool(tmp_path), np.array([3, 8, 20])
    np.testing.assert_array_equal(scorer().score(replace(pool, chosen=some)), scorer().score(pool)[some])
    assert [use.cached for use in pool.resources.store.uses if use.stage == "document values"] == [False, True]


@pytest.mark.slow
def test_curvatures_optimizers_and_the_fixed_preconditioner_give_other_values(tmp_path: Any) -> None:
    pool = fresh_pool(tmp_path)
    found = [scorer(curvature=name).score(pool) for name in ("hessian", "gauss_newton", "fisher", "none")]
    found += [scorer(adam="fixed").score(pool), scorer(recipe=PLAIN).score(pool)]
    assert all(not np.array_equal(a, b) for i, a in enumerate(found) for b in found[:i])


@pytest.mark.slow
def test_sources_of_the_target_have_columns_of_values(tmp_path: Any) -> None:
    pool = fresh_pool(tmp_path)
    one = scorer().score(pool)
    np.testing.assert_allclose(scorer(groups="source").score(pool), one, rtol=1e-4, atol=1e-8)


@pytest.mark.slow
def test_several_processes_give_the_same_scores_and_embeddings(tmp_path: Any) -> None:
    keeping = scorer(recipe=PLAIN, save_embeddings=True)
    alone = keeping.score(fresh_pool(tmp_path / "alone"))
    two, pool = replace(TRAINER, strategy="ddp", devices=2), fresh_pool(tmp_path / "two")
    together = keeping.score(replace(pool, resources=replace(pool.resources, trainer=two)))
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-6)
    kept = [np.load(next((tmp_path / name).rglob(capture_module.EMBEDDINGS))) for name in ("alone", "two")]
    np.testing.assert_allclose(kept[1], kept[0], rtol=0, atol=1e-5 * np.abs(kept[0]).max())


@pytest.mark.slow
def test_an_interrupted_valuation_continues_to_the_same_scores(tmp_path: Any, monkeypatch: Any) -> None:
    undisturbed = scorer().score(fresh_pool(tmp_path / "undisturbed"))
    pool, original = fresh_pool(tmp_path / "interrupted"), Shown.__call__

    def interrupt(self: Shown, phase: str, done: int, total: int) -> None:
        original(self, phase, done, total)
        if phase == "reverse" and done >= 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Shown, "__call__", interrupt)
        with pytest.raises(KeyboardInterrupt):
            scorer().score(pool)
    np.testing.assert_array_equal(scorer().score(pool), undisturbed)


def test_documents_that_the_run_does_not_reach_have_the_value_zero_and_are_counted(tmp_path: Any, capfd: Any) -> None:
    pool = fresh_pool(tmp_path)
    recipe, budget = replace(PLAIN, batch_items=4), replace(TRAINING, epochs=None, max_tokens=400)
    scores = scorer(recipe=recipe, training=budget).score(pool)
    numbers = pool.evidence.contents()["numbers"]["valuation"]["values"]
    assert 0 < (scores == 0).sum() == numbers["documents_without_occurrence"] < 24
    assert f"{(scores == 0).sum()} of 24 candidates have the value 0" in "".join(capfd.readouterr())


@pytest.mark.slow
def test_another_optimizer_takes_the_place_of_the_runs_own(tmp_path: Any) -> None:
    pool = fresh_pool(tmp_path)
    own = scorer(recipe=PLAIN, adam="refuse")
    instead = scorer(recipe=replace(PLAIN, optimizer=tiny_recipe().optimizer), optimizer=PLAIN.optimizer, adam="refuse")
    np.testing.assert_array_equal(own.score(pool), instead.score(pool))


@pytest.mark.slow
def test_the_forecast_names_the_phases_that_are_recorded(tmp_path: Any) -> None:
    pool = fresh_pool(tmp_path)
    kept = scorer(recipe=PLAIN, save_embeddings=True)
    costs = kept.forecast(pool.sizes, pool.resources)
    kept.score(pool)
    assert {cost.phase.split(":")[0] for cost in costs} == set(pool.evidence.contents()["phases"])
    assert all(cost.flops > 0 for cost in costs if cost.phase != "values: replay")


def test_the_forecast_of_embeddings_by_hand() -> None:
    # 3 numbers: a matrix of 9, and sketches of the 4 sequences of a micro-batch. 12 occurrences meet the matrix twice.
    work = Workload("none", 5, 10, 2, 1, 0, 4, 8, 3, 12)
    size = ModelSize(parameters=100, activation_bytes_per_token=7, reading_bytes_per_token=5)
    embeddings = forecast(work, size, is_whole=True)[-1]
    assert embeddings.flops == 10 * 8 * 100 * 12 + 12 * 2 * (2 * 9)
    assert embeddings.peak_bytes == (5 + 3) * 400 + 4 * 8 * 7 + 9 * 4 + 4 * 3 * 44


@pytest.mark.slow
def test_pictures_and_numbers_are_left_as_evidence(tmp_path: Any) -> None:
    pool = fresh_pool(tmp_path)
    scorer().score(pool)
    contents = pool.evidence.contents()
    assert {"values_over_training", "valued_updates"} <= set(contents["figures"])
    assert "values_per_drop" not in contents["figures"]  # a step of AdamW does not follow the gradient
    numbers = contents["numbers"]["valuation"]["values"]
    assert (numbers["updates"], numbers["occurrences"]) == (6, 48)
    assert numbers["largest_lr_curvature"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("clip_norm", [None, 0.5])
def test_values_per_drop_count_what_the_clipped_update_took_off_its_batch(tmp_path: Any, clip_norm: Any) -> None:
    """Each update has a gradient norm above 0.5, so that a clipped one goes 0.5 along the gradient."""
    pool = fresh_pool(tmp_path)
    scorer(recipe=replace(PLAIN, clip_norm=clip_norm), adam="refuse").score(pool)
    occurrences, updates = (pool.evidence.read_table(n).to_pydict() for n in ("occurrences", "valued_updates"))
    norms, rates = (np.array(updates[name])[np.array(occurrences["update"]) - 1] for name in ("gradient_norm", "lr"))
    assert norms.min() > 0.5
    drops = rates * norms * (norms if clip_norm is None else clip_norm)
    expected = np.array(occurrences["value"]) / drops
    np.testing.assert_allclose(occurrences["value_per_drop"], expected, rtol=1e-4)
    assert "values_per_drop" in pool.evidence.contents()["figures"]


@pytest.mark.slow
def test_a_later_target_is_valued_from_embeddings_without_a_run(tmp_path: Any, monkeypatch: Any) -> None:
    pool = fresh_pool(tmp_path)
    keeping = scorer(recipe=PLAIN, curvature="fisher", save_embeddings=True, num_features=8192)
    keeping.score(pool)
    later = replace(pool, target=make_pool(tmp_path / "later", words(9, seed=5)).candidates)
    monkeypatch.setattr(capture_module, "capture", lambda *_: pytest.fail("the run was repeated"))
    estimated, exact = keeping.rescore(later), replace(keeping, save_embeddings=False).score(later)
    assert np.corrcoef(estimated, exact)[0, 1] > 0.95
    assert not np.array_equal(estimated, exact)
    (group,) = later.evidence.read_table("groups").to_pylist()
    assert (group["group"], group["shots"]) == ("target", 9)


def test_without_stored_embeddings_a_later_target_is_refused(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match=r"run it once with scorer\.save_embeddings=true"):
        scorer(recipe=PLAIN).rescore(fresh_pool(tmp_path))


# ---- refusals


def test_a_learning_rate_beyond_the_curvature_names_the_key_to_lower(tmp_path: Any) -> None:
    recipe = replace(PLAIN, optimizer=SGD(lr=5e4, momentum=0.0, weight_decay=0.0))
    with pytest.raises(DivergedError, match=r"lower model\.optimizer\.lr \(50000\)"):
        scorer(recipe=recipe).score(fresh_pool(tmp_path))


@dataclass(frozen=True)
class Lion:
    """An optimizer of somebody's own."""

    lr: float = 1e-4


MOMENTUM = replace(PLAIN, optimizer=SGD(lr=0.1, momentum=0.9, weight_decay=0.0))
DPO_OBJECTIVE = DPO(beta=0.1, label_smoothing=0.0, length="sum", reference="start")
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown optimizer": ({"recipe": tiny_recipe(optimizer=Lion())}, "is Lion, .*optimizer@scorer.optimizer=sgd"),
    "AdamW that nobody asked for": (
        {"adam": "refuse"},
        r"model\.optimizer is AdamW.*scorer\.adam=exact.*scorer\.adam=fixed",
    ),
    "embeddings through AdamW": ({"save_embeddings": True}, "is AdamW .*optimizer@scorer.optimizer=sgd"),
    "embeddings through a momentum": ({"recipe": MOMENTUM, "save_embeddings": True}, "is SGD with a momentum"),
    "another objective": ({"recipe": tiny_recipe(objective=DPO_OBJECTIVE)}, "objective@model.objective=cross_entropy"),
    "an unknown curvature": ({"curvature": "gauss"}, "curvature"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_settings_that_have_no_values_are_refused_with_a_cure(kind: str) -> None:
    changes, message = REFUSED[kind]
    with pytest.raises(ConfigError, match=message):
        scorer(**changes)


def test_a_network_with_dropout_is_refused(tmp_path: Any) -> None:
    config = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64, "resid_pdrop": 0.1}
    with pytest.raises(ConfigError, match=r"has dropout \(\w+=0\.1\).*set its dropout to 0"):
        scorer(recipe=tiny_recipe(network=FreshNetwork("gpt2", config))).score(fresh_pool(tmp_path))


def test_dropout_of_a_head_that_a_language_model_does_not_have_counts_for_nothing() -> None:
    off = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    assert dropout_of(GPT2LMHeadModel(GPT2Config(vocab_size=9, n_embd=8, n_layer=1, n_head=2, **off))) is None


def test_a_target_that_is_missing_or_too_small_is_refused(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match=r"scorer\.num_target=99 is more than the 6 documents of the target set"):
        scorer(num_target=99).score(fresh_pool(tmp_path))
    with pytest.raises(ConfigError, match=r"needs a target set; choose target_dataset"):
        scorer().score(make_pool(tmp_path, words(24)))
