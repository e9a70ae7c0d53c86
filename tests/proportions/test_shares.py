"""Shares by EM: golden values, answers by hand, a slow reference and bad input."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from delt_exp.errors import DataError
from delt_exp.proportions.shares import (
    condition_number,
    most_confused,
    shares_of_labels,
    shares_of_posteriors,
    total_variation,
)

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "other" / "proportion.json"
needs_golden = pytest.mark.skipif(not GOLDEN.exists(), reason="the folder of golden values is not beside the checkout")
BY_HAND = np.array([[0.9, 0.2], [0.1, 0.8]])


def by_loops(likelihood, weights, start, rounds):
    """EM as its formula reads: p_k <- sum_n w_n p_k l_nk / sum_l p_l l_nl."""
    shares = list(start)
    for _ in range(rounds):
        new = [0.0] * len(shares)
        for row, weight in zip(likelihood, weights, strict=True):
            total = sum(share * value for share, value in zip(shares, row, strict=True))
            for k, value in enumerate(row):
                new[k] += weight / sum(weights) * shares[k] * value / total
        shares = new
    return shares


@needs_golden
@pytest.mark.parametrize("case", ["hard_inside", "hard_edge", "hard_side"])
def test_golden_shares_of_labels(case):
    golden = json.loads(GOLDEN.read_text())
    confusion = np.array(golden["hard_inside"]["confusion"])
    counts = np.array(golden[case]["counts"])
    assert shares_of_labels(confusion, counts) == pytest.approx(golden[case]["em"], abs=1e-6)
    if case == "hard_inside":  # inside the simplex the likeliest shares are those that the inverse matrix gives
        assert shares_of_labels(confusion, counts) == pytest.approx(golden[case]["inverse"], abs=1e-6)
    assert condition_number(confusion) == pytest.approx(golden["hard_inside"]["condition_number"], rel=1e-9)


@needs_golden
def test_golden_shares_of_posteriors():
    soft = json.loads(GOLDEN.read_text())["soft"]
    posteriors, prior = np.array(soft["posteriors"]), np.array(soft["classifier_prior"])
    assert posteriors.mean(axis=0) == pytest.approx(soft["naive"], abs=1e-6)
    assert shares_of_posteriors(posteriors, prior) == pytest.approx(soft["em"], abs=1e-6)


def test_two_domains_by_hand():
    assert shares_of_labels(BY_HAND, np.array([60, 40])) == pytest.approx([0.4 / 0.7, 0.3 / 0.7], abs=1e-6)
    assert shares_of_labels(BY_HAND, np.array([95, 5])) == pytest.approx([1, 0], abs=1e-6)


def test_a_classifier_without_errors_is_not_corrected():
    assert shares_of_labels(np.eye(3), np.array([5, 3, 2])) == pytest.approx([0.5, 0.3, 0.2])


def test_domains_that_get_the_same_labels_cannot_be_told_apart():
    confusion = np.array([[0.5, 0.5], [0.5, 0.5]])
    assert condition_number(confusion) == np.inf


def test_one_text_is_of_its_likeliest_domain_whatever_its_posterior():
    shares = shares_of_posteriors(np.array([[0.8, 0.2]]), np.array([0.5, 0.5]))
    assert shares == pytest.approx([1, 0], abs=1e-6)


@pytest.mark.parametrize("prior", [[0.5, 0.5], [0.9, 0.1]])
def test_posteriors_of_one_domain_each_are_their_mean_whatever_the_prior(prior):
    assert shares_of_posteriors(np.eye(2)[[0, 0, 0, 1]], np.array(prior)) == pytest.approx([0.75, 0.25])


def test_posteriors_that_are_the_prior_say_nothing():
    prior = np.array([0.2, 0.3, 0.5])
    assert shares_of_posteriors(np.tile(prior, (7, 1)), prior) == pytest.approx(prior)


def test_a_weight_counts_as_so_many_copies():
    posteriors = np.random.default_rng(0).dirichlet([1, 1, 1], size=6)
    prior, weights = np.full(3, 1 / 3), np.array([3, 0, 1, 2, 0, 1])
    copies = shares_of_posteriors(np.repeat(posteriors, weights, axis=0), prior)
    assert shares_of_posteriors(posteriors, prior, weights.astype(float)) == pytest.approx(copies, abs=1e-9)


@pytest.mark.parametrize("seed", range(20))
def test_em_is_its_formula_in_loops(seed, monkeypatch):
    """Round by round; that the rounds converge is what the other tests show."""
    monkeypatch.setattr("delt_exp.proportions.shares.MOST_ROUNDS", 20)
    rng = np.random.default_rng(seed)
    confusion, counts = rng.dirichlet([1, 1, 1], size=3).T, rng.integers(1, 50, size=3)
    assert shares_of_labels(confusion, counts) == pytest.approx(by_loops(confusion, counts, [1 / 3] * 3, 20), abs=1e-6)
    posteriors, prior = rng.dirichlet([1, 1, 1], size=9), rng.dirichlet([2, 2, 2])
    slow = by_loops(posteriors / prior, [1] * 9, prior, 20)
    assert shares_of_posteriors(posteriors, prior) == pytest.approx(slow, abs=1e-6)


def test_soft_with_soft_and_hard_with_hard_find_a_mixture_that_soft_with_hard_misses():
    """Three overlapping normal distributions, their posteriors and labels exact."""
    rng, means, truth = np.random.default_rng(0), np.array([0.0, 1.5, 3.0]), np.array([0.7, 0.2, 0.1])

    def posteriors(domains):
        draws = means[domains] + rng.normal(size=len(domains))
        density = np.exp(-((draws[:, None] - means) ** 2) / 2)
        return density / density.sum(axis=1, keepdims=True)

    written = posteriors(rng.choice(3, size=20_000, p=truth))
    held_out = posteriors(np.repeat(np.arange(3), 20_000)).argmax(axis=1).reshape(3, -1)
    confusion = np.stack([np.bincount(labels, minlength=3) / len(labels) for labels in held_out], axis=1)
    soft = shares_of_posteriors(written, np.full(3, 1 / 3))
    hard = shares_of_labels(confusion, np.bincount(written.argmax(axis=1), minlength=3))
    mixed = shares_of_labels(confusion, written.sum(axis=0))
    assert total_variation(soft, truth) < 0.03
    assert total_variation(hard, truth) < 0.03
    assert total_variation(mixed, truth) > 0.08
    assert total_variation(written.mean(axis=0), truth) > 0.15


def test_the_most_confused_domains_get_the_most_similar_labels():
    assert most_confused(np.array([[0.9, 0.1, 0.1], [0.05, 0.5, 0.4], [0.05, 0.4, 0.5]])) == (1, 2)


def test_total_variation_is_the_share_that_would_have_to_move():
    assert total_variation(np.array([0.5, 0.3, 0.2]), np.array([0.4, 0.3, 0.3])) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: shares_of_posteriors(np.array([[0.5, 0.5]]), np.array([1.0, 0.0])), "domain 1 has prior 0"),
        (lambda: shares_of_labels(np.array([[1.0, 1.0], [0.0, 0.0]]), np.array([1, 1])), "observation 1"),
        (lambda: shares_of_labels(BY_HAND, np.array([0, 0])), "nothing to estimate shares from"),
    ],
)
def test_impossible_input_is_refused(call, message):
    with pytest.raises(DataError, match=re.escape(message)):
        call()
