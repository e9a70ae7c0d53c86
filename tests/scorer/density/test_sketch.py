"""Counts of equal codes: by hand, against golden codes, and against the closed form."""

import json

import numpy as np
import pytest

from delt_exp.scorer.density import sketch
from delt_exp.scorer.density.sketch import count_collisions, joined_codes, sharing
from tests.scorer.density.test_kernel import GOLDEN, directions, expected_density, needs_golden


@needs_golden
@pytest.mark.parametrize(("joined", "name"), [(1, "density_without_modulo"), (3, "density_of_triples")])
def test_the_counts_of_given_hashes_are_the_golden_ones(joined, name):
    golden = json.loads(GOLDEN.read_text())
    vectors = np.array(golden["embeddings"], np.float32)
    given = np.array(golden["directions"]).T, np.array(golden["offsets"]), golden["width"]
    codes = joined_codes(vectors, *given, joined)
    if joined == 1:
        np.testing.assert_array_equal(codes, golden["codes_before_modulo"])
    found = np.mean([sharing(column) for column in codes.T], axis=0)
    assert found == pytest.approx(golden[name], abs=1e-12)


def test_equal_documents_count_each_other_and_one_alone_counts_itself():
    assert count_collisions(np.ones((7, 3), np.float32), 0.5, 10, 16, 0).mean.tolist() == [7] * 7
    assert count_collisions(np.ones((1, 3), np.float32), 0.5, 10, 16, 0).mean.tolist() == [1]


def test_distant_documents_see_only_themselves_through_narrow_bins_and_all_through_wide_ones():
    vectors = 100 * directions(20)
    assert count_collisions(vectors, 1e-3, 30, 16, 0).mean.tolist() == [1] * 20
    assert count_collisions(vectors, 1e9, 30, 16, 0).mean.tolist() == [20] * 20


def test_two_distant_clusters_have_the_densities_of_their_sizes():
    vectors = np.repeat(100 * directions(2), [900, 100], axis=0)
    density = count_collisions(vectors, 0.5, 50, 16, 0)
    assert density.mean.tolist() == [900] * 900 + [100] * 100
    assert density.error.tolist() == [0] * 1000


def test_blocks_and_groups_of_codes_change_no_count(monkeypatch):
    vectors = directions(100)
    whole = count_collisions(vectors, 2.0, 40, 4, 0)
    monkeypatch.setattr(sketch, "BLOCK_DOCUMENTS", 7)
    np.testing.assert_array_equal(count_collisions(vectors, 2.0, 40, 4, 0).mean, whole.mean)


def test_the_standard_error_is_that_of_a_mean_of_counts():
    vectors = directions(60)
    few = np.array([count_collisions(vectors, 2.0, 25, 4, seed).mean for seed in range(200)])
    told = np.array([count_collisions(vectors, 2.0, 25, 4, seed).error for seed in range(200)])
    ratio = (told**2).mean(0) / few.var(0, ddof=1)  # each of 60 ratios has a deviation of about 0.1
    assert ratio.mean() == pytest.approx(1, abs=0.06)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "joined"), [(0.75, 1), (1.5, 4), (2.5, 16)])
def test_many_codes_come_near_the_closed_form(width, joined):
    vectors = np.concatenate([directions(150, 8), directions(20, 8)])
    density = count_collisions(vectors, width, 4000, joined, 0)
    errors = (density.mean - expected_density(vectors, width, joined)) / density.error
    assert np.abs(errors).max() < 5
    np.testing.assert_array_equal(density.mean[150:], density.mean[:20])  # copies
