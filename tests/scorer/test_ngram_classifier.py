"""The n-gram classifier against an independent solution of its problem, and what no document may see."""

import numpy as np
import pytest
from scipy.optimize import minimize

from delt_exp.errors import ConfigError, DataError
from delt_exp.ngrams.hashed import HashedNgrams
from delt_exp.rows.draws import fold_of, random_rows
from delt_exp.scorer.ngram_classifier import NgramClassifierScorer
from delt_exp.statistics.diagnostics import auc
from tests.helpers import make_pool, words

SETTINGS = {
    "max_ngram": 2, "num_buckets": 64, "max_documents": 1000, "folds": 3, "penalty": 1e-3, "max_iterations": 1000,
    "seed": 0,
}  # fmt: skip


def classifier(**settings):
    return NgramClassifierScorer(**SETTINGS | settings)


def sentences(vocabulary, count, seed):
    rng = np.random.default_rng(seed)
    return [f"{i} " + " ".join(rng.choice(vocabulary.split(), 8)) for i in range(count)]


@pytest.mark.slow
def test_scores_are_those_of_a_dense_logistic_regression_on_the_other_folds(tmp_path):
    texts, target = words(40), words(25, seed=5)
    pool = make_pool(tmp_path, texts, target)
    found = classifier().score(pool)

    def shares(text):
        bag = np.bincount(HashedNgrams(2, 64).of([text])[0], minlength=64)
        return np.append(bag / bag.sum(), 1.0)  # and the bias

    x = np.array([shares(text) for text in [*texts, *target]])
    y = np.repeat([-1.0, 1.0], [40, 25])
    ids = np.concatenate([pool.candidates.corpus.ids, pool.target.corpus.ids])
    folds = fold_of(ids, 3, 0)
    for fold in range(3):
        train = folds != fold
        weight = np.where(y > 0, 0.5 / (train & (y > 0)).sum(), 0.5 / (train & (y < 0)).sum())[train]

        def loss(w, train=train, weight=weight):
            return weight @ np.logaddexp(0, -y[train] * (x[train] @ w)) + 0.5e-3 * (w[:-1] @ w[:-1])

        w = minimize(loss, np.zeros(65), method="BFGS", options={"gtol": 1e-7, "maxiter": 2000}).x
        own = np.flatnonzero(folds[:40] == fold)
        np.testing.assert_allclose(found[own], x[own] @ w, atol=2e-2)
        assert loss(w) < np.log(2)


def test_target_documents_among_the_candidates_come_first(tmp_path):
    like, unlike = sentences("red green blue pink", 40, 1), sentences("one two three four five", 160, 2)
    pool = make_pool(tmp_path, [*unlike, *like], sentences("red green blue pink", 60, 3))
    scores = classifier(num_buckets=4096).score(pool)
    assert auc(scores, np.arange(200) >= 160) > 0.95
    shown = pool.evidence.contents()["numbers"]["ngram_classifier"]["values"]
    # 160 of 200 candidates are unlike the target, the others are of its kind: about 0.8 + 0.2 / 2.
    assert shown["held-out AUC"] == pytest.approx(0.9, abs=0.05)
    assert (shown["target documents"], shown["candidates"]) == (60, 200)


def test_no_document_is_judged_by_a_model_that_learnt_from_it(tmp_path):
    # Texts of random letters: nothing general can be learnt, so that only memory could tell the two sides apart.
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abcdefgh"), 6)) + f" {i}" for i in range(300)]
    pool = make_pool(tmp_path, texts, texts[:150])
    scores = classifier(num_buckets=4096, penalty=1e-6).score(pool)
    # The first half are target documents word by word, and are not found: in their fold they are in neither side.
    assert auc(scores, np.arange(300) < 150) == pytest.approx(0.5, abs=0.1)


def test_equal_distributions_are_told_as_such(tmp_path):
    pool = make_pool(tmp_path, words(200), words(200, seed=1))
    classifier().score(pool)
    assert any("cannot tell most candidates" in sentence for sentence in pool.evidence.contents()["remarks"])


def test_a_fit_that_stops_too_early_says_so(tmp_path):
    pool = make_pool(tmp_path, words(50), words(30, seed=1))
    classifier(max_iterations=1).score(pool)
    assert sum("stopped before its minimum" in one for one in pool.evidence.contents()["remarks"]) == 3


def test_at_most_so_many_documents_are_learnt_from(tmp_path):
    pool = make_pool(tmp_path, words(50), words(30, seed=1))
    classifier(max_documents=20).score(pool)
    shown = pool.evidence.contents()["numbers"]["ngram_classifier"]["values"]
    assert (shown["target documents"], shown["candidates"]) == (20, 20)


def test_the_sides_do_not_depend_on_the_order_of_the_documents(tmp_path):
    pool, turned = make_pool(tmp_path, words(50), words(9)), make_pool(tmp_path, words(50)[::-1], words(9))
    chosen = [random_rows(one.ids, 20, 0, "training documents of the n-gram classifier") for one in (pool, turned)]
    assert set(pool.ids[chosen[0]]) == set(turned.ids[chosen[1]])


def test_a_target_of_one_text_is_refused(tmp_path):
    with pytest.raises(DataError, match="the 3 documents of the target set are all in one of 3 folds"):
        classifier().score(make_pool(tmp_path, words(20), ["a b"] * 3))


@pytest.mark.parametrize(
    ("settings", "key"),
    [({"folds": 1}, "folds"), ({"penalty": 0.0}, "penalty"), ({"max_documents": 1}, "max_documents")],
)
def test_settings_without_a_meaning_are_refused(settings, key):
    with pytest.raises(ConfigError, match=f"NgramClassifierScorer.{key}="):
        classifier(**settings)
