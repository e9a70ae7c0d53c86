"""DSIR against weights worked by hand, and against the formula computed document by document."""

import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from math import log

import numpy as np
import pytest

from delt_exp.errors import ConfigError, DataError
from delt_exp.mapping import shards
from delt_exp.ngrams.hashed import HashedNgrams
from delt_exp.scorer.dsir import DsirScorer
from tests.helpers import make_pool, new_folder, words

PAPER = {"max_ngram": 2, "num_buckets": 10_000, "smoothing": 1e-8, "mean": False}


def dsir(**settings):
    return DsirScorer(**PAPER | settings)


def test_words_twice_as_frequent_in_the_target_add_the_logarithm_of_two(tmp_path):
    # p(a), p(b) = 2/3, 1/3; q(a), q(b) = 1/3, 2/3
    pool = make_pool(tmp_path, ["A", "b b"], ["a b a"])
    assert dsir(max_ngram=1).score(pool) == pytest.approx([log(2), -2 * log(2)], rel=1e-6)
    assert dsir(max_ngram=1, mean=True).score(pool) == pytest.approx([log(2), -log(2)], rel=1e-6)


def test_an_n_gram_without_a_target_costs_the_smoothing(tmp_path):
    pool = make_pool(tmp_path, ["a", "z"], ["a"])
    expected = [log((1 + 1e-8) / (0.5 + 1e-8)), log(1e-8 / (0.5 + 1e-8))]
    assert dsir(max_ngram=1).score(pool) == pytest.approx(expected, rel=1e-6)
    shown = pool.evidence.contents()["numbers"]["dsir"]["values"]
    assert shown["share of the candidates in buckets without a target"] == 0.5


class Texts:
    """A corpus that reads other texts: of blank ones, which no corpus keeps."""

    def __init__(self, texts, corpus):
        self.all, self.corpus = texts, corpus

    def __getattr__(self, name):
        return getattr(self.corpus, name)

    def __len__(self):
        return len(self.all)

    def texts(self, rows=None):
        return iter(self.all if rows is None else [self.all[row] for row in rows])


def reference(texts, target_texts, num_buckets):
    """Equation (1) of the paper over bags of words and pairs, one dictionary for each document."""
    ngrams = HashedNgrams(1, num_buckets)

    def bag(text):
        found = re.findall(r"\w+|[^\w\s]+", text.lower())
        # The bucket of a pair is that of an artificial batch of its own.
        pairs = [HashedNgrams(2, num_buckets).of([f"{a} {b}"])[0][2] for a, b in pairwise(found)]
        return Counter([*(ngrams.of([word])[0][0] for word in found), *pairs])

    def shares(bags):
        total = sum(bags, Counter())
        return {bucket: count / total.total() for bucket, count in total.items()}

    bags = [bag(text) for text in texts]
    p, q = shares([bag(text) for text in target_texts]), shares(bags)
    return [sum(c * (log(p.get(b, 0) + 1e-8) - log(q[b] + 1e-8)) for b, c in one.items()) for one in bags]


@pytest.mark.parametrize("num_buckets", [3, 40, 10_000])
def test_the_scores_are_those_of_the_formula_document_by_document(tmp_path, num_buckets):
    texts, target = [*words(30), "é!?", "Fold, sort.", "«日本» 12"], words(9, seed=4)
    found = dsir(num_buckets=num_buckets).score(make_pool(tmp_path, texts, target))
    np.testing.assert_allclose(found, reference(texts, target, num_buckets), rtol=1e-5, atol=1e-6)


def test_a_document_without_a_word_has_the_weight_of_an_empty_bag(tmp_path):
    pool = make_pool(tmp_path, ["a b", "b"], ["a b"])
    blank = replace(pool, candidates=replace(pool.candidates, corpus=Texts(["a b", " "], pool.candidates.corpus)))
    assert dsir(mean=True).score(blank)[1] == 0
    assert dsir().score(replace(blank, work_dir=new_folder(tmp_path)))[1] == 0


def test_the_counts_are_those_of_all_candidates_whichever_are_scored(tmp_path):
    pool = make_pool(tmp_path, words(20), words(5, seed=1))
    some = replace(pool, chosen=np.array([7, 2]), work_dir=tmp_path / "some")
    some.work_dir.mkdir()
    np.testing.assert_array_equal(dsir().score(some), dsir().score(pool)[[7, 2]])


def test_a_target_without_a_word_is_refused(tmp_path):
    pool = make_pool(tmp_path, ["a"], ["b"])
    target = replace(pool.target, corpus=Texts([" "], pool.target.corpus))
    with pytest.raises(DataError, match="no document of the target set has a word"):
        dsir().score(replace(pool, target=target))


@pytest.mark.parametrize(
    ("settings", "key"),
    [({"max_ngram": 0}, "max_ngram"), ({"num_buckets": 1}, "num_buckets"), ({"smoothing": 0.0}, "smoothing")],
)
def test_settings_without_a_meaning_are_refused(settings, key):
    with pytest.raises(ConfigError, match=f"DsirScorer.{key}="):
        dsir(**settings)


@pytest.mark.slow
def test_several_processes_give_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_ITEMS", 4)
    alone, several = (make_pool(tmp_path, words(20), words(5, seed=1)) for _ in range(2))
    trainer = replace(several.resources.trainer, strategy="ddp", devices=2)
    several = replace(several, resources=replace(several.resources, trainer=trainer))
    assert dsir().score(several).tobytes() == dsir().score(alone).tobytes()
    assert len(list((several.work_dir / "shards").glob("shard-*"))) > 2
