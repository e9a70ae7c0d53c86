"""The placebo of a scorer: its numbers without what they say."""

import numpy as np
import pytest

from delt_exp.errors import ConfigError
from delt_exp.scorer.length import LengthScorer
from delt_exp.scorer.permuted import PermutedScorer
from delt_exp.scorer.perplexity import PerplexityScorer
from delt_exp.scorer.random import RandomScorer
from tests.helpers import make_pool

LENGTH = LengthScorer(unit="bytes", longer=True)
NUM_DOCUMENTS = 2000


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    texts = [f"{i} " + "word " * (i % 97) for i in range(NUM_DOCUMENTS)]
    return make_pool(tmp_path_factory.mktemp("pool"), texts)


def test_the_scores_are_those_of_the_base_in_another_order(pool):
    scores, base = PermutedScorer(LENGTH, seed=0).score(pool), LENGTH.score(pool)
    np.testing.assert_array_equal(np.sort(scores), np.sort(base))
    assert (scores != base).mean() > 0.9  # 97 lengths: about one document in 97 keeps its own by chance


def test_they_say_nothing_of_the_base_or_of_another_seed(pool):
    base = LENGTH.score(pool)
    first, second = (PermutedScorer(LENGTH, seed=seed).score(pool) for seed in (0, 1))
    for one, other in ((first, base), (second, base), (first, second)):
        assert abs(np.corrcoef(one, other)[0, 1]) < 4 / NUM_DOCUMENTS**0.5  # four standard deviations of chance


def test_they_say_nothing_of_a_random_score_of_the_same_seed(pool):
    ranks = np.argsort(np.argsort(RandomScorer(seed=3).score(pool)))
    permuted = PermutedScorer(RandomScorer(seed=3), seed=3).score(pool)
    assert abs(np.corrcoef(np.argsort(np.argsort(permuted)), ranks)[0, 1]) < 4 / NUM_DOCUMENTS**0.5


@pytest.mark.slow
def test_every_document_is_as_likely_to_get_the_highest_score(tmp_path):
    pool = make_pool(tmp_path, ["a", "bb", "ccc", "dddd"])
    winners = [int(np.argmax(PermutedScorer(LENGTH, seed).score(pool))) for seed in range(400)]
    counts = np.bincount(winners, minlength=4)
    assert np.square(counts - 100).sum() / 100 < 16.27  # chi squared with 3 degrees of freedom, once in a thousand


def test_the_order_of_the_rows_does_not_matter(tmp_path):
    texts = ["one", "another", "a third document", "the fourth of the documents"]
    scores, reversed_rows = (
        PermutedScorer(LENGTH, seed=5).score(make_pool(tmp_path, rows)) for rows in (texts, texts[::-1])
    )
    assert reversed_rows[::-1].tolist() == scores.tolist()


def test_the_scores_of_the_base_are_a_stage_that_is_reused(pool):
    for seed in (7, 8):
        PermutedScorer(LENGTH, seed).score(pool)
    uses = [use for use in pool.resources.store.uses if use.stage == "scores"]
    assert uses[-1].cached
    assert len({use.key for use in uses}) <= 2  # of this base and of random


def test_meaning_and_needs_are_those_of_the_base():
    permuted = PermutedScorer(LengthScorer(unit="tokens", longer=False), seed=0)
    assert (permuted.meaning.name, permuted.meaning.unit) == ("permuted document length", "tokens")
    assert permuted.meaning.better == "lower"
    assert permuted.needs == {"tokens"}
    assert PermutedScorer(LENGTH, seed=0).needs == frozenset()


def test_the_forecast_is_that_of_the_base(pool):
    class Costly(PerplexityScorer):
        def forecast(self, sizes, resources):
            return ["the cost"]

    assert PermutedScorer(Costly(proxy=None), seed=0).forecast(pool.sizes, pool.resources) == ["the cost"]
    assert PermutedScorer(LENGTH, seed=0).forecast(pool.sizes, pool.resources) == []


def test_a_seed_must_be_a_whole_number():
    with pytest.raises(ConfigError, match=r"PermutedScorer\.seed="):
        PermutedScorer(LENGTH, seed=-1)
