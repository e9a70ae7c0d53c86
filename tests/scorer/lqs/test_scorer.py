"""The LQS family through the scorer: annotation of every document, or of some and a regression model."""

from dataclasses import replace

import numpy as np
import pytest

from delt_exp.data_scorer.regression import Regression
from delt_exp.data_scorer.ridge import Ridge
from delt_exp.errors import ConfigError
from delt_exp.model.optimizer import AdamW
from delt_exp.model.schedule import WarmupCosine
from delt_exp.proxy.trained import TrainedProxy
from delt_exp.scorer.distilled import DistilledScorer
from delt_exp.scorer.lqs.scorer import LqsScorer
from delt_exp.scorer.permuted import PermutedScorer
from tests.helpers import TRAINER, make_pool, tiny_recipe, words

DISTIL = Regression(
    body=None, epochs=2, batch_documents=4, choice_ratio=0.25, validation_ratio=0.25, clip_sigma=3.0,
    clip_norm=1.0, seed=0,
    optimizer=AdamW(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01),
    schedule=WarmupCosine(warmup_steps=1, warmup_ratio=None, min_ratio=0.0),
)  # fmt: skip
RIDGE = Ridge(penalties=(0.1, 10.0), folds=4, clip_sigma=3.0, seed=0)
DATA_SCORERS = pytest.mark.parametrize("data_scorer", [DISTIL, RIDGE], ids=["regression", "ridge"])


PROXY = TrainedProxy(tiny_recipe(), "sample", 2_000, 0)


def scorer(**changes):
    settings = {
        "score_name": "lqs", "proxy": PROXY, "num_steps": 4, "batch_documents": 3, "num_target": None,
        "context_tokens": 16, "lr": 0.05, "interval": 2, "init_norm": "terminal", "precision": "fp32", "seed": 0,
    }  # fmt: skip
    return LqsScorer(**(settings | changes))


def distilled(num_annotated, data_scorer, base=None):
    return DistilledScorer(base or scorer(), data_scorer, PROXY, num_annotated, seed=0)


@pytest.fixture
def pool(tmp_path):
    return fresh_pool(tmp_path)


def fresh_pool(folder):
    return make_pool(folder, words(24), target_texts=words(6, seed=8))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lqs", "pds", "learnability", "quality"])
def test_every_relative_scores_every_document(pool, name):
    scores = scorer(score_name=name).score(pool)
    assert scores.shape == (24,)
    assert np.isfinite(scores).all()
    assert len(np.unique(scores)) == 24
    assert {"lqs": "learnability-quality"}.get(name, name) in scorer(score_name=name).meaning.name.lower()


@pytest.mark.slow
@DATA_SCORERS
def test_several_processes_give_the_same_scores(tmp_path, data_scorer):
    """Both the annotation and the inference of the data scorer are shared by two processes."""
    distilling = distilled(16, data_scorer)
    alone = distilling.score(fresh_pool(tmp_path / "alone"))
    two = replace(TRAINER, strategy="ddp", devices=2)
    pool = fresh_pool(tmp_path / "two")
    together = distilling.score(replace(pool, resources=replace(pool.resources, trainer=two)))
    np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
@DATA_SCORERS
def test_a_data_scorer_scores_the_corpus_from_a_few_annotations(pool, data_scorer):
    scores = distilled(16, data_scorer).score(pool)
    assert scores.shape == (24,)
    assert len(np.unique(scores)) == 24
    validation = pool.evidence.contents()["numbers"]["fit"]["values"]
    assert validation["documents"] == {DISTIL: 4, RIDGE: 16}[data_scorer]
    assert -1 <= validation["low"] <= validation["high"] <= 1
    assert validation["learnt"] == (validation["low"] > 0)
    assert set(pool.evidence.contents()["phases"]) == {
        "warm start", "annotation", "data scorer", "inference",
    }  # fmt: skip


@pytest.mark.slow
def test_an_interrupted_annotation_continues_to_the_same_scores(tmp_path, monkeypatch):
    from delt_exp.scorer.reverse.shown import Shown

    undisturbed = scorer().score(fresh_pool(tmp_path / "undisturbed"))
    pool, original, updates = fresh_pool(tmp_path / "interrupted"), Shown.__call__, []

    def interrupt(self, phase, done, total):
        original(self, phase, done, total)
        updates.append(phase)
        if phase == "reverse" and done >= 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Shown, "__call__", interrupt)
        with pytest.raises(KeyboardInterrupt):
            scorer().score(pool)
    np.testing.assert_array_equal(scorer().score(pool), undisturbed)


def test_a_wrong_number_of_target_documents_is_refused_before_the_proxy_is_trained(pool):
    with pytest.raises(ConfigError, match=r"^scorer.num_target=7 is more than the 6 documents of the target set"):
        scorer(num_target=7).score(pool)
    placebo = PermutedScorer(distilled(None, None, scorer(num_target=7)), seed=0)
    with pytest.raises(ConfigError, match=r"^scorer.base.base.num_target=7 is more"):
        placebo.score(pool)
    with pytest.raises(ConfigError, match=r"scorer=lqs needs a target set; choose target_dataset"):
        scorer().score(replace(pool, target=None))
    assert not [use for use in pool.resources.store.uses if use.stage == "model"]
    with pytest.raises(ConfigError, match=r"num_target=0 is not allowed; set it to a whole number of at least 1"):
        scorer(num_target=0)


def test_a_context_longer_than_the_proxy_is_refused_before_anything_is_annotated(pool):
    with pytest.raises(ConfigError, match=r"^scorer.base.context_tokens=65, but .* has 64 positions"):
        distilled(None, None, scorer(context_tokens=65)).score(pool)
    assert not [use for use in pool.resources.store.uses if use.stage == "annotation"]


@pytest.mark.slow
def test_relatives_share_one_annotation(tmp_path):
    pool = fresh_pool(tmp_path)
    lqs, pds = scorer().score(pool), scorer(score_name="pds").score(pool)
    assert [use.cached for use in pool.resources.store.uses if use.stage == "annotation"] == [False, True]
    assert not np.array_equal(lqs, pds)
    other = scorer(lr=0.1).score(pool)
    assert not pool.resources.store.uses[-1].cached
    assert not np.array_equal(lqs, other)


@pytest.mark.slow
@DATA_SCORERS
def test_the_forecast_names_the_phases_that_are_recorded(pool, data_scorer):
    distilling = distilled(16, data_scorer)
    costs = distilling.forecast(pool.sizes, pool.resources)
    distilling.score(pool)
    phases = pool.evidence.contents()["phases"]
    assert {cost.phase.split(":")[0] for cost in costs} == set(phases)
    assert all(phase["seconds"] > 0 and phase["peak_bytes"] > 0 for phase in phases.values())


def test_annotating_everything_and_a_data_scorer_exclude_each_other():
    with pytest.raises(ConfigError, match="num_annotated=null annotates every document"):
        distilled(None, DISTIL)


def test_more_annotated_documents_than_documents_are_refused(pool):
    with pytest.raises(ConfigError, match=r"scorer\.num_annotated=99 is more than the 24 documents"):
        distilled(99, DISTIL).score(pool)


def test_wrong_settings_are_refused_at_once():
    with pytest.raises(ConfigError, match="init_norm"):
        scorer(init_norm="two")
    with pytest.raises(ConfigError, match="score"):
        scorer(score_name="lsq")


@pytest.mark.slow
def test_what_was_annotated_is_left_as_evidence_under_every_score(pool):
    scores = scorer(score_name="pds").score(pool)
    table = pool.evidence.read_table("annotated")
    assert table.column_names == ["id", "lqs", "pds", "learnability", "quality"]
    np.testing.assert_array_equal(table["id"].to_numpy(), pool.candidates.corpus.ids)
    np.testing.assert_allclose(table["pds"].to_numpy(), scores, rtol=1e-6)
