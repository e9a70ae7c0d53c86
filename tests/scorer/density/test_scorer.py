"""Density of documents whose vectors are known, and what is drawn by it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from delt_exp.encoder.hashing import HashingEncoder
from delt_exp.errors import ConfigError, DataError
from delt_exp.rows.candidates import Candidates
from delt_exp.scorer.density.scorer import DensityScorer
from delt_exp.selector.gumbel_top_k import gumbel_top_k
from tests.helpers import make_pool, new_folder, words
from tests.scorer.density.test_kernel import directions
from tests.scorer.density.vectors import Written, text_of

INCLUSION = Path(__file__).parents[4] / "shared" / "golden" / "other" / "ips_inclusion.json"


def contract_overrides(folder):
    return ["encoder=hashing"]


def scorer(**changes):
    given = {"encoder": Written(), "num_codes": 100, "hashes_per_code": 16, "width": "auto", "seed": 0}
    return DensityScorer(**given | changes)


def test_the_score_is_the_logarithm_of_how_many_documents_are_near(tmp_path):
    pool = make_pool(tmp_path, ["100 0"] * 3 + ["0 100"] * 2 + ["-100 0"])
    expected = np.log([3, 3, 3, 2, 2, 1])
    assert scorer(width=0.1).score(pool) == pytest.approx(expected, abs=1e-6)
    assert scorer().meaning.better == "lower"
    some = replace(pool, chosen=np.array([5, 0]), work_dir=new_folder(tmp_path))
    assert scorer(width=0.1).score(some) == pytest.approx(expected[[5, 0]], abs=1e-6)
    numbers = pool.evidence.contents()["numbers"]["density"]["values"]
    assert numbers["largest density / smallest"] == 3
    assert numbers["average share of a document in its own density"] == pytest.approx((1 + 1 + 1) / 6)


def test_the_automatic_width_makes_the_share_of_a_document_one_half(tmp_path):
    pool = make_pool(tmp_path, [text_of(vector) for vector in directions(200)])
    scorer(encoder=Written(32), num_codes=1000).score(pool)
    numbers = pool.evidence.contents()["numbers"]["density"]["values"]
    assert numbers["average share of a document in its own density"] == pytest.approx(0.5, abs=0.03)


def test_copies_of_a_text_are_denser_than_other_texts(tmp_path):
    pool = make_pool(tmp_path, [*words(60), *["the same words again"] * 20])
    found = scorer(encoder=HashingEncoder(256, 0), num_codes=300).score(pool)
    assert len(set(found[60:])) == 1
    assert found[60] > found[:60].max()


def drawn(goodness, ratio, num_draws, seed=0):
    ids = np.random.default_rng(seed).integers(2**64, size=len(goodness), dtype=np.uint64)
    counts = np.zeros(len(goodness))
    for draw in range(num_draws):
        candidates = Candidates.ungrouped(ids, goodness.astype(np.float32))
        counts[
            gumbel_top_k(candidates, unit="documents", ratio=ratio, temperature=1.0, standardise=False, seed=draw)
        ] += 1
    return counts


@pytest.mark.slow
@pytest.mark.skipif(not INCLUSION.is_file(), reason="the folder of golden values is not beside the checkout")
def test_draws_by_log_density_are_the_exact_sampler_in_inverse_proportion():
    golden = json.loads(INCLUSION.read_text())
    num_draws, p = golden["draws_suggested"], np.array(golden["inclusion_probability"])
    counts = drawn(-np.log(golden["density"]), golden["num_kept"] / len(p), num_draws)
    assert (np.abs(counts / num_draws - p) < 5 * np.sqrt(p * (1 - p) / num_draws)).all()


def test_a_small_cluster_runs_dry_before_a_large_one():
    # 100 of 900 + 100 documents, in proportion to 1 / 900 and 1 / 100: 44.0 of the small cluster on average, not 50.
    goodness = -np.log(np.repeat([900.0, 100.0], [900, 100]))
    small = drawn(goodness, 0.1, 400)[900:].sum() / 400
    assert small == pytest.approx(44.0, abs=5 * 4.1 / 400**0.5)


def warnings(tmp_path, **changes):
    pool = make_pool(tmp_path, [text_of(vector) for vector in directions(100)])
    scorer(encoder=Written(32), **changes).score(pool)
    return pool.evidence.contents()["warnings"]


@pytest.mark.slow
def test_densities_that_hardly_differ_are_warned_of(tmp_path):
    assert warnings(tmp_path) == []
    (published,) = warnings(tmp_path / "published", hashes_per_code=1, num_codes=1000)
    assert "nearly uniform; use scorer.hashes_per_code=16" in published
    (wide,) = warnings(tmp_path / "wide", width=1e6)
    assert "0.0%" in wide
    assert wide.endswith("use scorer.width=auto")


def test_one_hash_a_code_is_warned_of_even_where_densities_differ(tmp_path):
    pool = make_pool(tmp_path, ["100 0"] * 30 + ["0 100"])
    scorer(width=0.1, hashes_per_code=1).score(pool)
    (warning,) = pool.evidence.contents()["warnings"]
    assert "the published form" in warning


@pytest.mark.parametrize("vector", ["0 0", "nan 1", "inf 1"])
def test_a_vector_without_a_direction_is_refused_with_its_document(tmp_path, vector):
    with pytest.raises(DataError, match=r"document 1 \(id [0-9a-f]{16}\).*leave the document out"):
        scorer(width=1.0).score(make_pool(tmp_path, ["1 0", vector]))


@pytest.mark.parametrize(
    ("key", "value"), [("num_codes", 0), ("hashes_per_code", 0), ("width", 0.0), ("width", -1.0), ("width", "wide")]
)
def test_settings_that_mean_nothing_are_refused(key, value):
    with pytest.raises(ConfigError, match=rf"DensityScorer\.{key}="):
        scorer(**{key: value})
