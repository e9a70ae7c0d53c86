"""From texts to shares: known mixtures of made-up domains are found, and what makes shares doubtful is said."""

import numpy as np
import pytest

from delt_exp.proportions.classifier import Calibration, ClassifierSettings, balanced, calibrate, log_softmax
from delt_exp.proportions.detector import warnings
from delt_exp.proportions.estimate import Estimate, Readings, first_token_shares, is_looping
from delt_exp.proportions.shares import condition_number, shares_of_posteriors, total_variation

SETTINGS = ClassifierSettings(max_ngram=1, num_buckets=4096, penalty=1e-6, max_iterations=100)
NEUTRAL = Calibration(1.0, np.zeros(3))
TRUTH = np.array([0.6, 0.3, 0.1])


def texts_of(domains, seed, num_words=12):
    """Texts of three overlapping domains: words of 40 shared ones, each domain with its own frequencies."""
    frequencies = np.random.default_rng(0).dirichlet(np.full(40, 0.7), size=3)
    rng = np.random.default_rng(seed)
    return [" ".join(f"word{w}" for w in rng.choice(40, num_words, p=0.5 * frequencies[d] + 0.5 / 40)) for d in domains]


@pytest.fixture(scope="module")
def evidence():
    domain_R, domain_H = np.repeat(np.arange(3), 400), np.repeat(np.arange(3), 300)
    written = np.random.default_rng(1).choice(3, size=1500, p=TRUTH)
    classifier = SETTINGS.fit(texts_of(domain_R, 2), domain_R)
    logits_HK = classifier.logits(texts_of(domain_H, 3))
    return Readings(classifier.logits(texts_of(written, 4)), logits_HK, domain_H)


def test_a_known_mixture_is_found_by_both_estimators_and_not_by_what_is_uncorrected(evidence):
    num_texts, num_held_out = len(evidence.logits_NK), len(evidence.domain_H)
    found = evidence.estimate(np.ones(num_texts), np.ones(num_held_out))
    assert total_variation(found.soft_K, TRUTH) < 0.05
    assert total_variation(found.hard_K, TRUTH) < 0.05
    assert total_variation(evidence.labels(np.ones(num_texts)) / num_texts, TRUTH) > 0.08


def overlapping(domains, rng):
    """Logits of the exact posteriors of three normal distributions in space, for draws of these domains."""
    draws = 1.8 * np.eye(3)[domains] + rng.normal(size=(len(domains), 3))
    return 1.8 * draws


@pytest.mark.slow
def test_intervals_of_95_percent_hold_the_truth_in_at_least_nine_repetitions_of_ten():
    """The model's texts and the held-out ones are drawn anew each time; the classifier is that of Bayes."""
    domain_H, is_inside = np.repeat(np.arange(3), 150), []
    for repetition in range(100):
        rng = np.random.default_rng(repetition)
        written = rng.choice(3, size=400, p=TRUTH)
        readings = Readings(overlapping(written, rng), overlapping(domain_H, rng), domain_H)
        intervals, errors = readings.intervals(num_bootstraps=60, alpha=0.05, seed=repetition)
        is_inside.append((intervals[..., 0] <= TRUTH) & (intervals[..., 1] >= TRUTH))
        assert (errors < 0.08).all()  # they do not hold the truth by being endless
    soft, hard = np.mean(is_inside, axis=(0, 2))
    assert min(soft, hard) >= 0.9


def test_an_interval_has_the_quantiles_of_all_bootstraps(evidence):
    drawn = np.array([evidence.bootstrap(5, number) for number in range(9)])
    intervals, errors = evidence.intervals(num_bootstraps=9, alpha=0.25, seed=5)
    np.testing.assert_allclose(intervals[..., 0], np.sort(drawn, axis=0)[1], atol=1e-12)  # 1/8 of the way from 0 to 8
    np.testing.assert_allclose(intervals[..., 1], np.sort(drawn, axis=0)[7], atol=1e-12)
    np.testing.assert_allclose(errors, drawn.std(axis=0, ddof=1))


def test_intervals_know_of_the_held_out_texts_too(evidence):
    """With the model's texts as they are, the hard shares still differ from one draw of held-out texts to another."""
    rng, ones = np.random.default_rng(0), np.ones(len(evidence.logits_NK))
    halves = [evidence.estimate(ones, rng.integers(0, 2, len(evidence.domain_H)).astype(float)) for _ in range(5)]
    assert np.std([half.hard_K[0] for half in halves]) > 1e-3
    first, again = evidence.bootstrap(0, 3), evidence.bootstrap(0, 3)
    np.testing.assert_array_equal(first, again)


def test_the_confusion_matrix_is_what_was_predicted_of_each_domain_and_one_more_text_of_every_label():
    logits_HK = np.log(np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]))
    evidence = Readings(logits_HK, logits_HK, np.array([0, 0, 0, 1]))
    confusion = evidence.estimate(np.ones(4), np.ones(4)).confusion_KK
    np.testing.assert_allclose(confusion, [[2.5 / 4, 0.5 / 2], [1.5 / 4, 1.5 / 2]])


def test_calibration_takes_back_logits_that_are_too_sharp_and_lean_to_one_domain():
    rng = np.random.default_rng(0)
    logits_NK = rng.normal(size=(8000, 3))
    domain_N = np.array([rng.choice(3, p=np.exp(row)) for row in log_softmax(logits_NK)])
    found = calibrate(3 * logits_NK + [1.5, 0, 0], domain_N, np.full(8000, 1 / 8000))
    assert found.scale == pytest.approx(1 / 3, rel=0.1)
    assert found.bias_K[0] - found.bias_K[1:] == pytest.approx([-0.5, -0.5], abs=0.1)


def test_a_classifier_that_leans_to_one_domain_still_finds_the_mixture():
    """As a temperature alone would not: two normal distributions, logits exact but for a lean to the first."""
    rng, truth = np.random.default_rng(0), np.array([0.7, 0.3])

    def logits(domains):
        draws = np.array([0.0, 2.0])[domains] + rng.normal(size=len(domains))
        return np.stack([np.ones(len(draws)), 2 * draws - 2], axis=1)

    domain_H = np.repeat([0, 1], 4000)
    evidence = Readings(logits(rng.choice(2, size=8000, p=truth)), logits(domain_H), domain_H)
    found = evidence.estimate(np.ones(8000), np.ones(8000))
    assert total_variation(found.soft_K, truth) < 0.02
    assert total_variation(found.hard_K, truth) < 0.02
    leaning = shares_of_posteriors(np.exp(log_softmax(evidence.logits_NK)), np.array([0.5, 0.5]))
    assert total_variation(leaning, truth) > 0.06


def test_every_domain_weighs_the_same():
    weights_N = balanced(np.array([0, 0, 0, 1]), 2)
    assert weights_N == pytest.approx([1 / 6, 1 / 6, 1 / 6, 1 / 2])


def test_posteriors_of_a_balanced_classifier_are_those_of_bayes_for_texts_of_one_word():
    """Words a, b with P(a) 3/4 and 1/4 under two domains of unequal size: P(domain | word) by hand is 3/4 or 1/4."""
    texts, domain_N = ["a"] * 3 + ["b"] + ["a"] * 2 + ["b"] * 6, np.repeat([0, 1], [4, 8])
    logits = SETTINGS.fit(texts, domain_N).logits(["a", "b"])
    np.testing.assert_allclose(np.exp(log_softmax(logits))[:, 0], [0.75, 0.25], atol=2e-3)


def test_first_tokens_of_known_domains_give_their_mixture_without_sampling_error():
    """Two domains that begin with token 0 or 1: (3/4, 1/4) and (0, 1); a third token of the model says nothing."""
    first_tokens = [np.array([0, 0, 0, 1]), np.array([1, 1])]
    share = 0.4 * np.array([0.75, 0.25, 0]) + 0.6 * np.array([0, 1, 0])
    first_V = 0.8 * share + 0.2 * np.array([0, 0, 1])
    assert first_token_shares(first_V, first_tokens) == pytest.approx([0.4, 0.6], abs=1e-6)


@pytest.mark.parametrize(
    ("ids", "is_loop"),
    [(range(32), False), ([1, 2] * 16, True), ([1, 2] * 4, False), ([], False), ([7] * 16, True)],
)
def test_a_text_loops_when_most_of_its_ngrams_came_before_and_it_is_long_enough_to_tell(ids, is_loop):
    assert is_looping(list(ids)) == is_loop


def test_what_makes_shares_doubtful_is_said_with_the_domains_and_numbers():
    confusion_KK = np.array([[0.9, 0.05, 0.05], [0.05, 0.48, 0.47], [0.05, 0.47, 0.48]])
    posteriors_NK = np.full((5, 3), 1 / 3)
    found = Estimate(np.zeros(3), np.zeros(3), confusion_KK, posteriors_NK, NEUTRAL)
    said = warnings(["news", "code", "patents"], found, condition_number(confusion_KK), 0.25)
    assert len(said) == 3
    assert "code from patents" in said[0]
    assert "25 %" in said[1]
    assert "equally likely" in said[2]
    sound = Estimate(np.zeros(3), np.zeros(3), np.eye(3), np.eye(3), NEUTRAL)
    assert warnings(["news", "code", "patents"], sound, 1.0, 0.2) == []
