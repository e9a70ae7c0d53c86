"""qwcs draws clusters in proportion to exp(scaling_factor * S) until they are empty."""

import itertools
import json

import numpy as np
import pytest

from delt_exp.errors import ConfigError
from delt_exp.rows.candidates import Candidates
from delt_exp.scorer.shed.scorer import apart
from delt_exp.selector.qwcs import qwcs
from tests.scorer.shed.golden import GOLDEN, needs_golden

pytestmark = pytest.mark.slow


def drawn_counts(sizes, values, budget, factor, draws):
    """Return [draws, C] how many documents of each cluster are kept, seed by seed; factor: of the raw values."""
    values = np.asarray(values, np.float64)
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    ids = np.random.default_rng(3).integers(2**64, size=len(clusters), dtype=np.uint64)
    table = Candidates.ungrouped(ids, values[clusters].astype(np.float32))
    scaled = factor * values.std()  # the selector divides by it
    ratio = (budget + 0.5) / len(clusters)
    kept = [qwcs(table, unit="documents", ratio=ratio, scaling_factor=scaled, seed=seed) for seed in range(draws)]
    return np.array([np.bincount(clusters[rows], minlength=len(sizes)) for rows in kept])


def expected_counts(sizes, weights, budget):
    """Return the mean counts of the law, by all sequences of draws."""
    total = np.zeros(len(sizes))
    for sequence in itertools.product(range(len(sizes)), repeat=budget):
        left, chance = list(sizes), 1.0
        for cluster in sequence:
            alive = sum(w for w, n in zip(weights, left, strict=True) if n)
            chance *= weights[cluster] / alive if left[cluster] else 0.0
            left[cluster] -= 1
        if chance:
            total += chance * np.bincount(sequence, minlength=len(sizes))
    return total


def assert_agrees(counts, expected):
    # One more draw of another count, so that an event too rare to be seen has an error too.
    error = np.sqrt((counts.var(0) + 1 / len(counts)) / len(counts))
    assert (np.abs(counts.mean(0) - expected) <= 5 * error + 1e-9).all()


def test_counts_follow_the_enumerated_law_until_clusters_are_empty():
    values = np.log([1.0, 2.0, 4.0])
    counts = drawn_counts([3, 1, 2], values, 3, 1.0, 4000)
    assert_agrees(counts, expected_counts([3, 1, 2], [1, 2, 4], 3))


def test_two_draws_from_two_clusters_by_hand():
    # weights 1 and 3, one and two documents: both draws from the second with 3/4 * 3/4, once its own share is left
    counts = drawn_counts([1, 2], np.log([1.0, 3.0]), 2, 1.0, 4000)
    assert (counts[:, 1] == 2).mean() == pytest.approx(9 / 16, abs=5 * np.sqrt(9 / 16 * 7 / 16 / 4000))


@needs_golden
@pytest.mark.parametrize("factor", ["0.0", "1.0", "4.0"])
def test_golden_expected_counts(factor):
    golden = json.loads((GOLDEN / "shed.json").read_text())["samplers"]
    # Two clusters of one value are one to a selector; the scorer keeps them a rounding error apart.
    values = np.array([*golden["cluster_values"][:-1], golden["cluster_values"][-1] + 1e-6])
    counts = drawn_counts(golden["cluster_sizes"], values, golden["budget"], float(factor), 4000)
    assert_agrees(counts, np.array(golden["qwcs_expected_counts"][factor]))


def test_a_factor_of_0_draws_clusters_and_not_documents():
    counts = drawn_counts([50, 50, 900], [0.0, 1.0, 2.0], 30, 0.0, 1000)
    assert_agrees(counts, [10, 10, 10])


def test_a_large_factor_takes_the_best_clusters_whole():
    counts = drawn_counts([5, 1, 3, 4, 2], [0.2, 0.9, -0.1, 0.5, 0.6], 7, 1e6, 5)
    assert (counts == [0, 1, 0, 4, 2]).all()


def test_members_of_a_cluster_have_equal_chances():
    ids = np.arange(4, dtype=np.uint64) * 977
    table = Candidates.ungrouped(ids, np.zeros(4, np.float32))
    kept = np.concatenate(
        [qwcs(table, unit="documents", ratio=0.5, scaling_factor=1.0, seed=seed) for seed in range(4000)]
    )
    assert np.bincount(kept) / 4000 == pytest.approx([0.5] * 4, abs=5 * 0.5 / np.sqrt(4000))


def test_everything_is_kept_at_ratio_1():
    assert len(qwcs(Candidates.ungrouped(np.arange(9, dtype=np.uint64), np.arange(9, dtype=np.float32)),
                    unit="documents", ratio=1.0, scaling_factor=3.0, seed=0)) == 9  # fmt: skip


def test_a_negative_factor_is_refused():
    table = Candidates.ungrouped(np.arange(9, dtype=np.uint64), np.zeros(9, np.float32))
    with pytest.raises(ConfigError, match=r"qwcs.scaling_factor=-1.0 is not allowed"):
        qwcs(table, unit="documents", ratio=0.5, scaling_factor=-1.0, seed=0)


@pytest.mark.parametrize("value", [0.0, 0.7, -3e5])
def test_clusters_that_only_rounding_sets_apart_have_equal_chances(value):
    """As values of clusters are set apart, so that each stays a cluster of its own."""
    values = apart(np.full(20, value))
    assert len(np.unique(values)) == 20
    clusters, ids = np.repeat(np.arange(20), 30), np.random.default_rng(3).integers(2**64, size=600, dtype=np.uint64)
    table = Candidates.ungrouped(ids, values[clusters])
    kept = [qwcs(table, unit="documents", ratio=0.1, scaling_factor=1.0, seed=seed) for seed in range(50)]
    means = np.mean([np.bincount(clusters[rows], minlength=20) for rows in kept], axis=0)
    assert means == pytest.approx(np.full(20, 3.0), abs=1.2)
