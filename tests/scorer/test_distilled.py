"""Any scorer can be distilled: it scores some documents, and a data scorer learns from them to score them all."""

import re
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from delt_exp.data_scorer.ridge import Ridge
from delt_exp.errors import ConfigError, DataError
from delt_exp.proxy.trained import TrainedProxy
from delt_exp.quantity import Meaning
from delt_exp.rows.draws import random_rows
from delt_exp.scorer.distilled import DistilledScorer
from delt_exp.scorer.permuted import PermutedScorer
from delt_exp.scorer.perplexity import PerplexityScorer
from tests.data_scorer.tiny import SCORER
from tests.helpers import make_pool, tiny_recipe, words

RIDGE = Ridge(penalties=(0.1, 10.0), folds=4, clip_sigma=3.0, seed=0)
PROXY = TrainedProxy(tiny_recipe(), "sample", 2_000, 0)


def contract_overrides(folder):
    return ["scorer.num_annotated=null", "scorer.data_scorer=null"]  # every candidate is annotated


@dataclass(frozen=True)
class Asked:
    """Scores the row of a document and keeps in `rows` which were asked for."""

    VERSION: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset({"target"})
    meaning: ClassVar[Meaning] = Meaning("row", "rows", "lower", "Where it stands.")
    rows: ClassVar[list[np.ndarray]] = []
    too_many: int = 0

    def score(self, pool):
        self.rows.append(pool.rows)
        return np.arange(len(pool.candidates), dtype=np.float64)[pool.rows] if not self.too_many else np.zeros(3)


def distilled(base, num_annotated=16, data_scorer=RIDGE):
    return DistilledScorer(base, data_scorer, PROXY, num_annotated, seed=0)


@pytest.mark.slow
def test_the_base_scores_a_random_sample_and_the_data_scorer_everything(tmp_path):
    pool = make_pool(tmp_path, words(24), target_texts=words(4, seed=8))
    Asked.rows.clear()
    scores = distilled(Asked()).score(pool)
    (asked,) = Asked.rows
    np.testing.assert_array_equal(asked, random_rows(pool.candidates.corpus.ids, 16, 0, "annotated documents of LQS"))
    fit = pool.evidence.read_table("fit")
    np.testing.assert_array_equal(fit["annotated"].to_numpy(), asked)
    assert (scores.shape, scores.dtype) == ((24,), np.float32)
    assert len(np.unique(scores)) == 24


@pytest.mark.slow
def test_a_costly_scorer_with_a_model_is_distilled_by_its_own_proxy(tmp_path):
    pool, base = make_pool(tmp_path, words(24)), PerplexityScorer(PROXY)
    scores = distilled(base).score(pool)
    rows = random_rows(pool.candidates.corpus.ids, 16, 0, "annotated documents of LQS")
    exact = base.score(make_pool(tmp_path / "exact", words(24)))
    np.testing.assert_allclose(pool.evidence.read_table("fit")["annotated"].to_numpy(), exact[rows], rtol=1e-5)
    assert np.isfinite(scores).all()
    assert set(pool.evidence.contents()["phases"]) == {"warm start", "scoring", "data scorer", "inference"}
    assert [use.cached for use in pool.resources.store.uses if use.stage == "model"] == [False, True]


def test_without_a_data_scorer_the_base_scores_every_document(tmp_path):
    pool = make_pool(tmp_path, words(12), target_texts=words(4, seed=8))
    scores = distilled(Asked(), None, None).score(pool)
    np.testing.assert_array_equal(scores, np.arange(12))
    assert scores.dtype == np.float32


def test_a_base_that_ignores_the_chosen_documents_is_found_out(tmp_path):
    pool = make_pool(tmp_path, words(24))
    with pytest.raises(DataError, match=r"rows int64\[16\] and labels \[3\] do not fit"):
        distilled(Asked(too_many=1)).score(pool)


def test_meaning_and_needs_are_those_of_the_base_and_what_the_data_scorer_reads():
    assert distilled(Asked()).meaning == Asked.meaning
    assert distilled(Asked()).needs == {"target", "tokens"}
    assert distilled(Asked(), None, None).needs == {"target"}


def test_a_proxy_that_the_base_uses_too_is_forecast_once(tmp_path):
    pool, base = make_pool(tmp_path, words(24)), PerplexityScorer(PROXY)
    phases = [cost.phase for cost in distilled(base).forecast(pool.sizes, pool.resources)]
    assert phases == ["warm start", "scoring", "data scorer", "inference"]
    (few,) = (cost for cost in distilled(base).forecast(pool.sizes, pool.resources) if cost.phase == "scoring")
    (all_of_them,) = (cost for cost in base.forecast(pool.sizes, pool.resources) if cost.phase == "scoring")
    assert (few.passes, all_of_them.passes) == (16, 24)
    assert few.flops < all_of_them.flops


def test_what_a_base_does_on_all_candidates_is_forecast_whole(tmp_path):
    """Placebos permute the scores of all documents, whichever are annotated."""
    pool, base = make_pool(tmp_path, words(24)), PermutedScorer(PerplexityScorer(PROXY), seed=0)
    (cost,) = (cost for cost in distilled(base).forecast(pool.sizes, pool.resources) if cost.phase == "scoring")
    assert cost.passes == 24


@pytest.mark.slow
def test_a_fit_that_is_complete_is_not_repeated(tmp_path, monkeypatch):
    pool = make_pool(tmp_path, words(24), target_texts=words(4, seed=8))
    first = distilled(Asked()).score(pool)
    monkeypatch.setattr(Ridge, "fit", lambda *_: pytest.fail("fitted again"))
    np.testing.assert_array_equal(distilled(Asked()).score(pool), first)


@pytest.mark.parametrize(("num_annotated", "data_scorer"), [(None, RIDGE), (16, None)])
def test_a_number_of_documents_and_a_data_scorer_need_each_other(num_annotated, data_scorer):
    with pytest.raises(ConfigError, match="num_annotated=null annotates every document"):
        distilled(Asked(), num_annotated, data_scorer)


def test_more_annotated_documents_than_there_are_is_refused_before_anything_is_trained(tmp_path):
    pool = make_pool(tmp_path, words(24))
    with pytest.raises(ConfigError, match=r"scorer\.num_annotated=99 is more than the 24 documents"):
        distilled(Asked(), 99).score(pool)
    assert pool.resources.store.uses == []


@pytest.mark.parametrize(
    ("num_annotated", "data_scorer", "message"),
    [
        (8, RIDGE, "8 documents are annotated, a data scorer needs at least 10"),
        (12, replace(RIDGE, folds=13), "data_scorer.folds=13 is more than the 12"),
        (12, SCORER, "data_scorer.choice_ratio holds out 1 of 12 annotated documents"),
    ],
)
def test_a_data_scorer_that_cannot_learn_from_so_few_is_refused_before_they_are_annotated(
    num_annotated, data_scorer, message, tmp_path
):
    pool = make_pool(tmp_path, words(24), target_texts=words(4, seed=8))
    Asked.rows.clear()
    with pytest.raises(ConfigError, match=re.escape(message)):
        distilled(Asked(), num_annotated, data_scorer).score(pool)
    assert not Asked.rows
