"""Random scores: uniform, a function of document and seed, and independent of every other draw."""

import numpy as np
import pytest

from delt_exp.errors import ConfigError
from delt_exp.rows.draws import uniform_per_id
from delt_exp.scorer.random import RandomScorer
from tests.helpers import make_pool

NUM_DOCUMENTS = 4000


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return make_pool(tmp_path_factory.mktemp("pool"), [f"document {i}" for i in range(NUM_DOCUMENTS)])


def test_scores_are_uniform_on_the_unit_interval(pool):
    scores = np.sort(RandomScorer(seed=0).score(pool))
    assert scores[0] >= 0
    assert scores[-1] < 1
    # Kolmogorov-Smirnov: for uniform draws the distance exceeds 1.95 / sqrt(N) once in a thousand seeds.
    distance = np.abs(scores - (np.arange(NUM_DOCUMENTS) + 0.5) / NUM_DOCUMENTS).max()
    assert distance < 1.95 / NUM_DOCUMENTS**0.5


def test_draws_next_to_one_stay_below_one_in_float32(pool, monkeypatch):
    almost_one = np.full(NUM_DOCUMENTS, 1 - 2.0**-53)
    assert almost_one.astype(np.float32).max() == 1  # plain rounding would leave the interval
    monkeypatch.setattr("delt_exp.scorer.random.uniform_per_id", lambda ids, seed, purpose: almost_one)
    assert RandomScorer(seed=0).score(pool).max() == np.float32(1 - 2.0**-24)


def test_another_seed_gives_unrelated_scores(pool):
    first, second = (RandomScorer(seed=seed).score(pool) for seed in (0, 1))
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / NUM_DOCUMENTS**0.5  # four standard deviations of chance


def test_a_selector_of_the_same_seed_draws_unrelated_numbers(pool):
    scores = RandomScorer(seed=0).score(pool)
    draws = uniform_per_id(pool.candidates.corpus.ids, 0, "random selection")
    assert abs(np.corrcoef(scores, draws)[0, 1]) < 4 / NUM_DOCUMENTS**0.5


def test_a_document_keeps_its_score_in_another_corpus(pool, tmp_path):
    few = make_pool(tmp_path, ["document 7", "another one", "document 3"])
    scores, of_few = (RandomScorer(seed=5).score(p) for p in (pool, few))
    assert of_few[0] == scores[7]
    assert of_few[2] == scores[3]
    assert of_few[1] not in scores


@pytest.mark.parametrize("seed", [-1, 0.5, "zero", None])
def test_a_seed_must_be_a_whole_number(seed):
    with pytest.raises(ConfigError, match=r"RandomScorer\.seed="):
        RandomScorer(seed=seed)
