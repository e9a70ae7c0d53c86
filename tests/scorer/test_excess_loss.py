"""The loss under one model minus the loss under another."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from delt_exp.errors import ConfigError
from delt_exp.proxy.base import ProxyModel
from delt_exp.proxy.pretrained import PretrainedProxy
from delt_exp.proxy.trained import TrainedProxy
from delt_exp.rows.draws import fold_of
from delt_exp.scorer.excess_loss import ExcessLossScorer
from delt_exp.scorer.perplexity import PerplexityScorer
from delt_exp.statistics.diagnostics import auc
from tests.helpers import make_pool, new_folder, tiny_recipe, words

pytestmark = pytest.mark.slow

TUNED, REFERENCE = (TrainedProxy(tiny_recipe(), kind, 20_000, 0) for kind in ("target", "sample"))
GERMAN = ["der hund und die katze", "die katze sieht den hund", "das ist ein haus und ein hund"]


def scorer_of(tuned, reference, folds=1):
    return ExcessLossScorer(tuned, reference, folds)


@pytest.fixture
def pool(tmp_path):
    return make_pool(tmp_path, [*words(20), *GERMAN], target_texts=[f"{text} {i}" for i in range(9) for text in GERMAN])


def test_it_is_the_difference_of_two_perplexity_scores_which_are_reused(pool):
    losses = [
        PerplexityScorer(proxy).score(replace(pool, work_dir=new_folder(pool.work_dir))) for proxy in (TUNED, REFERENCE)
    ]
    found = scorer_of(TUNED, REFERENCE).score(pool)
    np.testing.assert_allclose(found, losses[0].astype(float) - losses[1], rtol=1e-5, atol=1e-6)
    assert [use.stage for use in pool.resources.store.uses].count("scores") == 2
    scorer_of(REFERENCE, TUNED).score(pool)
    assert [use.cached for use in pool.resources.store.uses if use.stage == "scores"] == [False, False, True, True]


def test_documents_like_the_target_have_the_lowest(pool):
    scorer = scorer_of(TUNED, REFERENCE)
    assert auc(-scorer.score(pool), np.arange(23) >= 20) > 0.9
    assert scorer.meaning.better == "lower"


def test_no_document_is_judged_by_a_reference_that_has_read_it(pool):
    """Fold by fold, by hand."""
    folds, losses = fold_of(pool.ids, 2, 0), np.empty(23)
    assert set(folds) == {0, 1}
    for fold in (0, 1):
        model = REFERENCE.trained(pool.resources, pool.candidates, np.flatnonzero(folds != fold))
        judge = SimpleNamespace(prepare=lambda *_, model=model: model)
        part = replace(pool, chosen=np.flatnonzero(folds == fold), work_dir=new_folder(pool.work_dir))
        losses[folds == fold] = PerplexityScorer(judge).score(part)
    tuned = PerplexityScorer(TUNED).score(replace(pool, work_dir=new_folder(pool.work_dir))).astype(float)
    scorer = scorer_of(TUNED, REFERENCE, folds=2)
    np.testing.assert_allclose(scorer.score(pool), tuned - losses, rtol=1e-5, atol=1e-6)
    phases = {cost.phase for cost in scorer.forecast(pool.sizes, pool.resources)}
    assert phases == {
        f"{part}: {n}" for part in ("tuned", "reference 1", "reference 2") for n in ("warm start", "scoring")
    }
    assert phases <= set(pool.evidence.contents()["phases"])


def test_one_model_against_itself_is_nothing(pool):
    assert (scorer_of(TUNED, TUNED).score(pool) == 0).all()


def test_some_documents_are_read_alone(pool):
    scorer, rows = scorer_of(TUNED, REFERENCE), np.array([21, 3])
    some = scorer.score(replace(pool, chosen=rows, work_dir=new_folder(pool.work_dir)))
    assert [use.stage for use in pool.resources.store.uses].count("scores") == 0
    parts = {"tuned: warm start", "tuned: scoring", "reference: warm start", "reference: scoring"}
    assert parts <= set(pool.evidence.contents()["phases"])
    np.testing.assert_allclose(some, scorer.score(pool)[rows], rtol=1e-5, atol=1e-6)


def test_needs_and_costs_are_those_of_both_models(pool):
    scorer = scorer_of(TUNED, REFERENCE)
    assert scorer.needs == {"target", "tokens"}
    phases = [cost.phase for cost in scorer.forecast(pool.sizes, pool.resources)]
    assert phases == [f"{part}: {phase}" for part in ("tuned", "reference") for phase in ("warm start", "scoring")]


def test_models_with_other_tokens_are_refused_before_one_is_trained(pool, monkeypatch):
    def trained(*_):
        raise AssertionError("trained")

    class Other(PretrainedProxy):
        def prepare(self, *arguments):
            return ProxyModel("other", None, SimpleNamespace(digest="other"), 8, None)

    monkeypatch.setattr(TrainedProxy, "prepare", trained)
    with pytest.raises(ConfigError, match="have different tokenizers: losses per token cannot be compared"):
        scorer_of(TUNED, Other("other", None, None, None)).score(pool)


def test_messages_of_a_model_name_its_keys(pool):
    with pytest.raises(ConfigError, match=r"^scorer.tuned.train_on is target, but there is no such text"):
        scorer_of(TUNED, REFERENCE).score(replace(pool, target=None))
    with pytest.raises(ConfigError, match=r"^scorer.reference.train_on is target, but there is no such text"):
        scorer_of(REFERENCE, TUNED).score(replace(pool, target=None))
