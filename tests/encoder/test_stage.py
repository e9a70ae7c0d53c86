"""Embeddings are computed once, in the order asked for, and continue after a kill."""

import numpy as np
import pytest

from delt_exp.encoder.hashing import HashedWords, HashingEncoder
from delt_exp.encoder.stage import embeddings_stage
from tests.alignment.tiny import make_resources, sentences
from tests.helpers import make_corpus

ENCODER = HashingEncoder(num_features=64, seed=0)


def test_rows_may_come_in_any_order_and_a_second_call_reads_what_is_there(tmp_path):
    resources, corpus = make_resources(tmp_path), make_corpus(tmp_path, sentences(9))
    every = embeddings_stage(resources, ENCODER, corpus, np.arange(9))
    rows = np.array([7, 2, 2, 0])
    np.testing.assert_array_equal(embeddings_stage(resources, ENCODER, corpus, rows), every[rows])
    embeddings_stage(resources, ENCODER, corpus, rows)
    assert [use.cached for use in resources.store.uses if use.stage == "embeddings"] == [False, False, True]


def test_a_killed_stage_leaves_nothing_that_passes_for_finished(tmp_path, monkeypatch):
    resources, corpus = make_resources(tmp_path), make_corpus(tmp_path, sentences(9))

    def killed(self, text):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(HashedWords, "vector", killed)
        with pytest.raises(KeyboardInterrupt):
            embeddings_stage(resources, ENCODER, corpus, np.arange(9))
    vectors = embeddings_stage(resources, ENCODER, corpus, np.arange(9))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert not list(resources.store.root.glob("embeddings/*/shards"))
