"""Each document has as many near-duplicates as were planted."""

from dataclasses import replace

import numpy as np
import pytest

from delt_exp.mapping import shards
from delt_exp.ngrams.minhash import MinHash
from delt_exp.scorer.near_duplicates import NearDuplicatesScorer
from tests.helpers import make_pool

SCORER = NearDuplicatesScorer(MinHash(ngram_words=5, bands=14, rows=8))


def contract_documents(texts):
    """Makes one text a near-duplicate of another: without any, all documents are alike."""
    return ["word " * 150 if text == "x" else text for text in texts]


@pytest.fixture
def texts():
    rng = np.random.default_rng(7)
    one, two, three = (" ".join(f"w{n}" for n in rng.integers(10**9, size=300)) for _ in range(3))
    return [one, f"{two} end", f"{one} end", three, f"Begin {one}", two]


def test_the_score_is_the_number_of_other_documents_of_the_cluster(tmp_path, texts):
    pool = make_pool(tmp_path, texts)
    assert SCORER.score(pool).tolist() == [2, 1, 2, 0, 2, 1]
    assert pool.evidence.read_table("clusters").to_pydict() == {"size": ["1", "2", "3"], "clusters": [1, 1, 1]}
    (remark,) = pool.evidence.contents()["remarks"]
    assert remark.startswith("5 of 6 documents have near-duplicates, in 2 clusters of at most 3;")
    assert remark.endswith("would leave out 3.")
    assert SCORER.meaning.better == "lower"


def test_some_documents_are_compared_with_all(tmp_path, texts):
    pool = replace(make_pool(tmp_path, texts), chosen=np.array([5, 3]))
    assert SCORER.score(pool).tolist() == [1, 0]


@pytest.mark.slow
def test_several_processes_give_the_same_clusters(tmp_path, texts, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_ITEMS", 2)
    pool = make_pool(tmp_path, texts)
    trainer = replace(pool.resources.trainer, strategy="ddp", devices=2)
    several = replace(pool, resources=replace(pool.resources, trainer=trainer))
    assert SCORER.score(several).tolist() == [2, 1, 2, 0, 2, 1]
