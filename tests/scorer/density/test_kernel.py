"""The probability that two points share a code, and the width that is found from it."""

import json
from pathlib import Path

import numpy as np
import pytest

from delt_exp.errors import ConfigError
from delt_exp.scorer.density import kernel
from delt_exp.scorer.density.kernel import automatic_width, collision_probability

GOLDEN = Path(__file__).parents[4] / "shared" / "golden" / "other" / "density_sketch.json"
needs_golden = pytest.mark.skipif(not GOLDEN.is_file(), reason="the folder of golden values is not beside the checkout")


def expected_density(vectors, width, hashes_per_code):
    """The density in the limit of many codes, from all pairs."""
    exact = np.asarray(vectors, np.float64)
    distances = np.linalg.norm(exact[:, None] - exact, axis=-1)
    return (collision_probability(distances, width) ** hashes_per_code).sum(1)


def test_the_probability_at_one_two_and_ten_widths_is_the_one_worked_by_hand():
    found = collision_probability(np.array([0.0, 1, 2, 10]), 1.0)
    assert found == pytest.approx([1, 0.36875, 0.19542, 0.03986], abs=5e-6)


def test_the_probability_is_that_of_simulated_hashes():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(200_000), rng.random(200_000) * 0.7
    for distance in (0.1, 0.5, 2.0):
        share = (np.floor((a * distance + b) / 0.7) == np.floor(b / 0.7)).mean()
        expected = collision_probability(np.array([distance]), 0.7)[0]
        assert share == pytest.approx(expected, abs=5 * (expected * (1 - expected) / 200_000) ** 0.5)


@needs_golden
def test_the_limit_of_many_codes_is_the_golden_one():
    golden = json.loads(GOLDEN.read_text())
    vectors, width = np.array(golden["embeddings"], np.float32), golden["width"]
    assert expected_density(vectors, width, 1) == pytest.approx(golden["expected_density"], abs=1e-4)
    assert expected_density(vectors, width, 3) == pytest.approx(golden["expected_density_of_triples"], abs=1e-4)
    distances, probabilities = zip(*golden["collision_probability"].items(), strict=True)
    found = collision_probability(np.array(distances, np.float64), width)
    assert found == pytest.approx(probabilities, abs=1e-9)


def directions(count, width=32, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((count, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("hashes_per_code", [1, 4, 16])
def test_at_the_automatic_width_a_document_is_half_of_its_own_density(monkeypatch, hashes_per_code):
    monkeypatch.setattr(kernel, "BLOCK_DOCUMENTS", 77)
    vectors = np.concatenate([directions(300), directions(300)[:40]])  # some of them twice
    width = automatic_width(vectors, np.arange(len(vectors)), hashes_per_code)
    assert (1 / expected_density(vectors, width, hashes_per_code)).mean() == pytest.approx(0.5, abs=2e-3)


def test_the_width_does_not_depend_on_the_order_of_the_documents():
    vectors, order = directions(200), np.random.default_rng(1).permutation(200)
    assert automatic_width(vectors, np.arange(200), 16) == automatic_width(vectors[order], np.arange(200), 16)


@pytest.mark.parametrize("vectors", [directions(1), directions(2), np.repeat(directions(1), 9, 0)])
def test_documents_without_different_distances_need_a_given_width(vectors):
    with pytest.raises(ConfigError, match=r"scorer\.width=auto finds no width .*set scorer\.width to a distance"):
        automatic_width(vectors, np.arange(len(vectors)), 16)
