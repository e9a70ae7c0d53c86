"""What a data scorer is worth: intervals that cover, and doubt where nothing was learnt."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from delt_exp.data_scorer.ridge import out_of_fold, ridge
from delt_exp.data_scorer.validation import doubt, in_words, interval, validate

PENALTIES = (1e-2, 1.0, 100.0)


def test_an_interval_worked_by_hand():
    # z = artanh 0.5 = 0.549306; its deviation sqrt((1 + 0.125) / 25) = 0.212132, times 1.959964 is 0.415771.
    assert interval(0.5, 28) == pytest.approx((np.tanh(0.133535), np.tanh(0.965077)), abs=1e-6)


@pytest.mark.parametrize(("spearman", "documents"), [(0.9, 3), (-1.0, 2), (0.0, 1.5)])
def test_three_documents_say_nothing(spearman, documents):
    assert interval(spearman, documents) == (-1, 1)


@pytest.mark.parametrize("documents", [4, 5, 12, 100])
def test_a_perfect_correlation_has_an_interval_that_narrows_with_documents(documents):
    low, high = interval(1.0, documents)
    assert low < high < 1
    assert interval(1.0, documents + 1)[0] > low
    assert interval(-1.0, documents) == pytest.approx((-high, -low))


def test_five_documents_in_perfect_order_do_not_show_that_a_scorer_learnt():
    assert not validate(np.arange(4.0), np.arange(4.0), "held out").learnt


def test_out_of_fold_counts_for_half_as_many_documents():
    rng = np.random.default_rng(0)
    labels = rng.normal(size=100)
    predicted = labels + rng.normal(size=100)
    held_out, out_of_fold = (validate(labels, predicted, how) for how in ("held out", "out of fold"))
    assert held_out.spearman == out_of_fold.spearman
    assert (out_of_fold.low, out_of_fold.high) == interval(held_out.spearman, 50)
    assert (held_out.low, held_out.high) == interval(held_out.spearman, 100)


def test_the_spread_is_that_of_predictions_over_that_of_annotations():
    labels = np.array([0.0, 1, 2, 3])
    found = validate(labels, labels / 100 + 7, "held out")
    assert found.spread_ratio == pytest.approx(0.01)
    assert found.spearman == found.pearson == pytest.approx(1)


def test_one_prediction_for_all_documents_is_doubted_and_no_number_is_made_up():
    found = vars(validate(np.arange(50.0), np.full(50, 0.1), "out of fold"))
    assert found["spearman"] is None
    assert (found["low"], found["high"], found["learnt"]) == (-1, 1, False)
    assert "the same prediction for all 50 documents out of fold" in doubt(found)


def test_an_interval_with_0_is_doubted_in_words_and_one_above_it_is_not():
    weak = {"how": "held out", "documents": 25, "spearman": 0.05, "low": -0.351, "high": 0.436, "learnt": False}
    assert "has not been shown to predict the annotations (Spearman 0.05 [-0.35, 0.44] on 25 documents held out)" in (
        doubt(weak)
    )
    assert "no better than random" in doubt(weak)
    strong = weak | {"spearman": 0.5, "low": 0.13, "high": 0.75, "learnt": True}
    assert doubt(strong) is None
    assert in_words(strong) == "Spearman 0.50 [0.13, 0.75] on 25 documents held out"


def simulated(signal, rng, num_documents=60, features=20, folds=10):
    """Return labels, out-of-fold predictions and the true Spearman of the ridge fitted on all documents."""
    beta = rng.normal(size=features)
    beta /= np.linalg.norm(beta)
    x = rng.normal(size=(num_documents, features))
    y = signal * x @ beta + np.sqrt(1 - signal**2) * rng.normal(size=num_documents)
    predicted = out_of_fold(x, y, rng.permutation(np.arange(num_documents) % folds), PENALTIES)
    weights, _ = ridge(x, y, PENALTIES)
    pearson = signal * weights @ beta / np.linalg.norm(weights)
    return y, predicted, 6 / np.pi * np.arcsin(pearson / 2)  # of normal variables (Pearson 1907)


@pytest.mark.slow
@pytest.mark.parametrize("signal", [0.0, 0.5, 0.9])
def test_intervals_of_out_of_fold_predictions_cover_the_truth(signal):
    """Of 300 studies 95 % are expected; fewer than 92 % happen once in 100 if that holds."""
    rng, covered, above, naive = np.random.default_rng(1), [], [], []
    for _ in range(300):
        labels, predicted, truth = simulated(signal, rng)
        found = validate(labels, predicted, "out of fold")
        covered.append(found.low <= truth <= found.high)
        above.append(found.learnt)
        low, high = interval(found.spearman, len(labels))
        naive.append(low <= truth <= high)
    assert np.mean(covered) >= 0.92
    if signal == 0:
        assert np.mean(above) <= 0.05  # 2.5 % are expected
        assert np.mean(naive) < 0.9  # as if each document were held out on its own
    if signal == 0.9:
        assert np.mean(above) == 1


@pytest.mark.slow
def test_intervals_of_documents_held_out_cover_the_truth():
    rng = np.random.default_rng(0)
    for rho in (0.0, 0.4, 0.8):
        covered, truth = [], 6 / np.pi * np.arcsin(rho / 2)
        for _ in range(500):
            a, b = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], 25).T
            low, high = interval(spearmanr(a, b).statistic, 25)
            covered.append(low <= truth <= high)
        assert 0.925 <= np.mean(covered) <= 0.985
