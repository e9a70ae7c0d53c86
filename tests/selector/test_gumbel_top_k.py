"""gumbel_top_k draws without replacement in proportion to exp(score / temperature)."""

from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from delt_exp.errors import ConfigError
from delt_exp.rows.candidates import Candidates
from delt_exp.selector.gumbel_top_k import gumbel_top_k
from delt_exp.selector.top_r import top_r


def make_ids(count, seed=0):
    return np.random.default_rng(seed).integers(2**64, size=count, dtype=np.uint64)


def drawn_of_three(scores, **settings):
    documents = Candidates.ungrouped(make_ids(3), scores)
    return gumbel_top_k(documents, unit="documents", standardise=False, **settings)


@pytest.mark.slow
def test_one_of_three_is_drawn_in_proportion_to_the_exponential():
    # exp(s / 0.5) = 1, 2, 5 for s = 0.5 ln 1, 0.5 ln 2, 0.5 ln 5: shares 1/8, 2/8, 5/8.
    scores = (0.5 * np.log([1.0, 2.0, 5.0])).astype(np.float32)
    draws = [drawn_of_three(scores, ratio=0.34, temperature=0.5, seed=seed)[0] for seed in range(4000)]
    shares = np.bincount(draws, minlength=3) / 4000
    np.testing.assert_allclose(shares, [0.125, 0.25, 0.625], atol=0.03)  # 4 standard errors


@pytest.mark.slow
def test_a_pair_is_drawn_without_replacement():
    # P({0, 1}) = 1/4 * 1/3 + 1/4 * 1/3 with weights 1, 1, 2; the pairs with the heavy document share the rest equally.
    scores = np.log([1.0, 1.0, 2.0]).astype(np.float32)
    draws = [tuple(drawn_of_three(scores, ratio=0.67, temperature=1.0, seed=seed)) for seed in range(4000)]
    shares = [draws.count(pair) / 4000 for pair in ((0, 1), (0, 2), (1, 2))]
    np.testing.assert_allclose(shares, [1 / 6, 5 / 12, 5 / 12], atol=0.032)  # 4 standard errors


def kept_probabilities(weights, num_kept):
    """Return how likely each is among `num_kept` drawn one after the other: by all orders."""
    result = np.zeros(len(weights))
    for order in permutations(range(len(weights)), num_kept):
        left, probability = sum(weights), 1.0
        for row in order:
            probability, left = probability * weights[row] / left, left - weights[row]
        result[list(order)] += probability
    return result


@pytest.mark.slow
def test_scores_that_are_minus_log_density_are_drawn_in_inverse_proportion_to_it():
    densities = np.array([1.0, 2, 4, 8, 40])
    draws, ids = 4000, make_ids(5)
    counts = np.zeros(5)
    for seed in range(draws):
        candidates = Candidates.ungrouped(ids, -np.log(densities).astype(np.float32))
        counts[
            gumbel_top_k(candidates, unit="documents", ratio=0.4, temperature=1.0, standardise=False, seed=seed)
        ] += 1
    expected = kept_probabilities(1 / densities, 2)
    assert (np.abs(counts / draws - expected) < 4.5 * np.sqrt(expected * (1 - expected) / draws)).all()


def test_a_temperature_near_0_is_top_r_and_does_not_overflow():
    ids, scores = make_ids(200), np.random.default_rng(1).standard_normal(200).astype(np.float32)
    cold = gumbel_top_k(
        Candidates.ungrouped(ids, scores), unit="documents", ratio=0.4, temperature=1e-320, standardise=False, seed=0
    )
    np.testing.assert_array_equal(cold, top_r(Candidates.ungrouped(ids, scores), unit="documents", ratio=0.4))


def test_a_high_temperature_forgets_the_scores():
    ids, scores = make_ids(200), np.random.default_rng(1).standard_normal(200).astype(np.float32)
    hot = gumbel_top_k(
        Candidates.ungrouped(ids, scores), unit="documents", ratio=0.4, temperature=1e9, standardise=False, seed=0
    )
    np.testing.assert_array_equal(
        hot,
        gumbel_top_k(
            Candidates.ungrouped(ids, -scores), unit="documents", ratio=0.4, temperature=1e9, standardise=False, seed=0
        ),
    )


def test_copies_of_one_document_are_drawn_apart():
    ids, scores = np.full(1000, 7, dtype=np.uint64), np.zeros(1000, dtype=np.float32)
    kept = gumbel_top_k(
        Candidates.ungrouped(ids, scores), unit="documents", ratio=0.5, temperature=1.0, standardise=False, seed=0
    )
    assert 200 < np.count_nonzero(kept < 500) < 300  # all on one side if the copies shared a draw


@pytest.mark.parametrize("temperature", [0, -1.0, float("inf"), "hot"])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ConfigError, match=r"gumbel_top_k\.temperature=.*\(0, inf\)"):
        gumbel_top_k(
            Candidates.ungrouped(make_ids(3), np.zeros(3, dtype=np.float32)),
            unit="documents",
            ratio=0.5,
            temperature=temperature,
            standardise=False,
            seed=0,
        )


def shared_with_the_best(ratio, temperature):
    """Return the share of a large draw from standard normal scores that is among the best: by quadrature.

    A document is kept where z + T G exceeds the c that a share `ratio` of all exceeds; P(G > g) = 1 - exp(-exp(-g)).
    """
    z = np.linspace(-8, 8, 16_001)
    density = norm.pdf(z) * (z[1] - z[0])
    kept = lambda c: -np.expm1(-np.exp(-(c - z) / temperature))  # noqa: E731
    c = brentq(lambda c: kept(c) @ density - ratio, -40, 40)
    return (kept(c) * (z > norm.isf(ratio))) @ density / ratio


@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e30])
def test_the_temperature_counts_in_standard_deviations_of_any_score(temperature, scale):
    scores = (scale * (3 + np.random.default_rng(1).standard_normal(20_000))).astype(np.float32)
    ids = make_ids(len(scores))
    kept = gumbel_top_k(
        Candidates.ungrouped(ids, scores),
        unit="documents",
        ratio=0.4,
        temperature=temperature,
        standardise=True,
        seed=0,
    )
    overlap = np.isin(kept, top_r(Candidates.ungrouped(ids, scores), unit="documents", ratio=0.4)).mean()
    assert overlap == pytest.approx(shared_with_the_best(0.4, temperature), abs=0.015)


def test_equal_scores_are_drawn_with_equal_chances():
    kept = gumbel_top_k(
        Candidates.ungrouped(make_ids(1000), np.ones(1000, np.float32)),
        unit="documents",
        ratio=0.5,
        temperature=0.1,
        standardise=True,
        seed=0,
    )
    assert 200 < np.count_nonzero(kept < 500) < 300


def test_standardise_is_true_or_false():
    with pytest.raises(ConfigError, match=r"gumbel_top_k\.standardise='no'"):
        gumbel_top_k(
            Candidates.ungrouped(make_ids(3), np.zeros(3, np.float32)),
            unit="documents",
            ratio=0.5,
            temperature=1.0,
            standardise="no",
            seed=0,
        )


@pytest.mark.parametrize("kind", ["normal", "heavy tails", "losses"])
def test_standardised_scores_decide_in_a_large_corpus_too(kind):
    """At a temperature of 0.1 standard deviations nearly all of the best documents are kept."""
    draws, count = np.random.default_rng(0), 300_000
    goodness = {
        "normal": lambda: draws.standard_normal(count),
        "heavy tails": lambda: draws.standard_t(3, count),
        "losses": lambda: 4 + 0.1 * draws.standard_normal(count),
    }[kind]().astype(np.float32)
    ids = draws.integers(2**64, size=count, dtype=np.uint64)
    rows = gumbel_top_k(
        Candidates.ungrouped(ids, goodness), ratio=0.4, unit="documents", temperature=0.1, standardise=True, seed=0
    )
    best = np.argsort(goodness)[-len(rows) :]
    assert len(np.intersect1d(rows, best)) > 0.85 * len(rows)
