"""Similarities to the target by hand, from an encoder whose vectors are known."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from delt_exp.encoder.hashing import HashingEncoder
from delt_exp.errors import ConfigError, DataError
from delt_exp.mapping.judge import TextBatch
from delt_exp.model.cost import Sizes
from delt_exp.scorer import embedding_match
from delt_exp.scorer.embedding_match import EmbeddingMatchScorer
from delt_exp.scorer.permuted import PermutedScorer
from delt_exp.scorer.stage import scores_stage
from tests.helpers import make_pool, new_folder, words


@dataclass(frozen=True)
class Angles:
    """The vector of a text is at as many degrees as it says."""

    VERSION: ClassVar[int] = 1
    width: ClassVar[int] = 2
    dtype: ClassVar[str] = "float32"
    context_tokens: ClassVar[int] = 100

    def inputs(self, resources):
        return {}

    def judge(self, resources):
        return self

    def open(self, device):
        return lambda batch: np.array(
            [[np.cos(np.radians(float(t))), np.sin(np.radians(float(t)))] for t in batch.texts]
        )


def scores(pool, aggregate, num_target=None, encoder=None):
    return EmbeddingMatchScorer(encoder or Angles(), aggregate, num_target, seed=0).score(pool)


def test_the_mean_and_the_largest_cosine_are_those_worked_by_hand(tmp_path):
    pool = make_pool(tmp_path, ["0", "90", "180", "60"], ["0", "60"])
    # cosines: 1 and 1/2; 0 and sqrt(3)/2; -1 and -1/2; 1/2 and 1
    assert scores(pool, "max") == pytest.approx([1, 0.75**0.5, -0.5, 1], abs=1e-6)
    assert scores(pool, "mean") == pytest.approx([0.75, 0.75**0.5 / 2, -0.75, 0.75], abs=1e-6)


def test_a_document_of_the_target_has_similarity_1(tmp_path):
    pool = make_pool(tmp_path, words(9), words(9)[:3])
    found = scores(pool, "max", encoder=HashingEncoder(64, 0))
    assert found[:3] == pytest.approx([1, 1, 1], abs=1e-6)
    assert (found <= 1 + 1e-6).all()


@pytest.mark.parametrize("aggregate", ["mean", "max"])
@pytest.mark.parametrize(
    ("name", "size"), [("BLOCK_DOCUMENTS", 3), ("BLOCK_SIMILARITIES", 3 * 7), ("BLOCK_SIMILARITIES", 1)]
)
def test_blocks_change_nothing(tmp_path, monkeypatch, aggregate, name, size):
    pool = make_pool(tmp_path, words(20), words(7, seed=2))
    whole = scores(pool, aggregate, encoder=HashingEncoder(64, 0))
    monkeypatch.setattr(embedding_match, name, size)
    np.testing.assert_allclose(scores(pool, aggregate, encoder=HashingEncoder(64, 0)), whole, rtol=1e-6)


@dataclass(frozen=True)
class Mute(Angles):
    """Has no direction for a text that begins with "no"."""

    def open(self, device):
        known = Angles().open(device)
        return lambda batch: np.concatenate([
            np.zeros((1, 2)) if text.startswith("no") else known(TextBatch([text], batch.ids, batch.items))
            for text in batch.texts
        ])  # fmt: skip


@pytest.mark.parametrize(("texts", "target"), [(["0", "no", "90"], ["0"]), (["0"], ["60", "no", "90"])])
def test_an_embedding_without_a_direction_is_refused_with_its_document(tmp_path, texts, target):
    pool = make_pool(tmp_path, texts, target)
    with pytest.raises(DataError, match=r"the embedding of document 1 \(id [0-9a-f]{16}\) has length 0\.0"):
        scores(pool, "mean", encoder=Mute())


def test_so_many_target_documents_are_read_and_the_others_are_not(tmp_path):
    pool = make_pool(tmp_path, ["0"], ["0", "90", "120"])
    found = [float(scores(replace(pool, work_dir=new_folder(tmp_path)), "max", num_target=n)[0]) for n in (1, 2, 3)]
    assert found == sorted(found)
    assert found[-1] == pytest.approx(1)


def test_more_target_documents_than_there_are_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"scorer\.num_target=9 is more than the 3 documents of the target set"):
        scores(make_pool(tmp_path, ["0"], ["0", "90", "120"]), "max", num_target=9)


def test_embeddings_are_computed_once_for_both_aggregates(tmp_path):
    pool = make_pool(tmp_path, ["0", "90"], ["0", "60"])
    scores(pool, "max")
    scores(pool, "mean")
    assert [use.cached for use in pool.resources.store.uses] == [False, False, True, True]


class Packaged(Angles):
    """An encoder whose settings do not say which files it reads, as that of an installed package."""

    files: ClassVar[str] = "old"

    def inputs(self, resources):
        return {"files": self.files}

    def forecast(self, sizes, resources):
        return []


@pytest.mark.parametrize("wrapped", [lambda scorer: scorer, lambda scorer: PermutedScorer(scorer, 0)])
def test_scores_are_computed_anew_where_an_encoder_reads_other_files(tmp_path, monkeypatch, wrapped):
    pool = make_pool(tmp_path, ["0", "90"], ["0", "60"])
    scorer = wrapped(EmbeddingMatchScorer(Packaged(), "max", None, 0))

    def is_cached():
        scores_stage(pool.resources, scorer, pool.candidates, pool.target)
        return pool.resources.store.uses[-1].cached

    assert [is_cached(), is_cached()] == [False, True]
    monkeypatch.setattr(Packaged, "files", "new")
    assert [is_cached(), is_cached()] == [False, True]


def test_other_settings_are_refused():
    with pytest.raises(ConfigError, match=r"EmbeddingMatchScorer.aggregate=.*mean, max"):
        EmbeddingMatchScorer(Angles(), "median", None, 0)
    with pytest.raises(ConfigError, match=r"EmbeddingMatchScorer.num_target="):
        EmbeddingMatchScorer(Angles(), "max", 0, 0)


@pytest.mark.parametrize(("num_target", "expected"), [(None, [4, 8, 6, 6, 6]), (2, [4, 8, 6, 6])])
def test_the_target_is_forecast_with_the_candidates(num_target, expected):
    class Listing(Angles):
        def forecast(self, sizes, resources):
            return sizes.lengths_N.tolist()

    scorer = EmbeddingMatchScorer(Listing(), "max", num_target, 0)
    assert scorer.forecast(Sizes(np.array([4, 8]), 3, 1, None), None) == expected
