"""Both terms and their mixture by hand, against golden values, and against the published optimiser."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from delt_exp.rows.candidates import Candidates
from delt_exp.scorer.clip_style import terms
from delt_exp.scorer.clip_style.terms import alignment, diversity, mixture
from delt_exp.selector.top_r import top_r

GOLDEN = Path(__file__).parents[4] / "shared" / "golden" / "other" / "clip_style.json"


def fail(sentence):
    raise AssertionError(sentence)


def test_cosine_and_distances_are_those_worked_by_hand():
    one = np.zeros(1, np.intp)
    assert alignment(np.array([[1.0, 0]]), one, np.array([[1.0, 1]])) == pytest.approx([0.5**0.5])
    line, alone = np.array([[0.0], [1], [3]]), np.zeros(3, np.intp)
    assert diversity(line, alone, 1, 1.0).tolist() == [1, 1, 2]
    assert diversity(line, alone, 2, 1.0).tolist() == [2, 1.5, 2.5]
    assert np.isnan(diversity(line, np.array([0, 0, 1]), 2, 1.0)).tolist() == [False, False, True]


def test_a_share_of_the_class_is_that_of_the_decimal():
    """0.29 of 100 documents are 29 others, not 28: on a line from 0 the first has a mean distance of 15."""
    line = np.arange(100.0)[:, None]
    assert diversity(line, np.zeros(100, np.intp), 99, 0.29)[0] == pytest.approx(15)


def test_the_published_mixture_is_the_one_worked_by_hand():
    given = {"SAS": np.array([0.2, 0.6, 1.0]), "SDS": np.array([1.0, 1, 2])}
    assert mixture(given, 0.1, "minmax", fail) == pytest.approx([0, 1, 2.3])


def test_standard_terms_count_in_deviations():
    given = {"SAS": np.array([1.0, 3.0]), "SDS": np.array([9.0, 5.0])}
    assert mixture(given, 0.25, "standard", fail).tolist() == [-0.75, 0.75]


@pytest.mark.parametrize("scaling", ["standard", "minmax"])
def test_a_constant_term_is_left_out_and_said(scaling):
    said = []
    given = {"SAS": np.array([1.0, 3.0]), "SDS": np.array([2.0, 2.0])}
    value = mixture(given, 0.5, scaling, said.append)
    assert np.isfinite(value).all()
    assert value[1] > value[0]
    assert said == ["the SDS of all documents is 2: it does not distinguish documents and is left out"]


def published_loop(value_N, num_kept, most_steps=100_000, beta=2.0):
    """Return the rows kept by the published gradient descent over a weight per document, all 0.01 at first.

    x = sigmoid(100 w); the loss is -mean(x value) + beta |number of x above 1/2 - num_kept| / N, whose count has the
    gradient of the sum of x. `value` is the sum of both terms over their means.
    """
    value_N = torch.from_numpy(value_N)
    w_N = torch.full_like(value_N, 0.01, requires_grad=True)
    optimizer = torch.optim.SGD([w_N], 1e-3, 0.9)
    for _ in range(most_steps):
        x_N = torch.sigmoid(100 * w_N)
        hard_N = x_N + ((x_N > 0.5).double() - x_N).detach()
        excess = (hard_N.sum() - num_kept).abs() / len(x_N)
        if excess < 1e-3:
            break
        optimizer.zero_grad()
        (-(x_N * value_N).mean() + beta * excess).backward()
        optimizer.step()
    return (x_N > 0.5).nonzero()[:, 0].tolist()


def kept_by_top_r(value_N, num_kept):
    candidates = Candidates.ungrouped(np.arange(len(value_N), dtype=np.uint64), value_N.astype(np.float32))
    return top_r(candidates, unit="documents", ratio=num_kept / len(value_N)).tolist()


@pytest.mark.parametrize("num_kept", [30, 100, 170])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_published_optimiser_is_a_threshold_on_the_score(num_kept, seed):
    draws = np.random.default_rng(seed)
    given = {"SAS": draws.normal(0.3, 0.1, 200), "SDS": draws.gamma(4, 0.1, 200)}
    value = mixture(given, 0.1, "minmax", fail)
    assert published_loop(value, num_kept) == kept_by_top_r(value, num_kept)


@pytest.mark.slow
def test_the_published_optimiser_misses_a_count_that_tied_documents_cross_together():
    value = np.repeat(np.random.default_rng(0).uniform(0, 2, 20), 10)
    kept = published_loop(value, 55, most_steps=3000)
    assert len(kept) % 10 == 0
    assert len(kept_by_top_r(value, 55)) == 55


@pytest.mark.skipif(not GOLDEN.is_file(), reason="the folder of golden values is not beside the checkout")
@pytest.mark.parametrize("block_numbers", [1000, 16_000_000])
def test_golden_terms_mixture_and_kept_rows(monkeypatch, block_numbers):
    monkeypatch.setattr(terms, "BLOCK_NUMBERS", block_numbers)
    golden = json.loads(GOLDEN.read_text())
    vectors, labels = np.array(golden["embeddings"]), np.array(golden["labels"])
    sas = alignment(vectors, labels, np.array(golden["prototypes"], np.float64))
    sds = diversity(vectors, labels, golden["neighbours"], 1.0)
    value = mixture({"SAS": sas, "SDS": sds}, golden["lambda"], "minmax", fail)
    for found, name in ((sas, "alignment"), (sds, "diversity"), (value, "value")):
        assert found == pytest.approx(golden[name], abs=1e-9)
    assert sds[9] == sds[10] == sds[11]
    bad = np.isin(np.arange(len(sas)), golden["mislabelled"])
    assert sas[bad].max() < sas[~bad].min()
    for ratio, kept in golden["kept"].items():
        assert sorted(np.argsort(-value)[: int(float(ratio) * len(value))].tolist()) == kept
        assert published_loop(value, len(kept)) == kept  # the optimiser is a threshold


def test_copies_are_at_distance_0_where_there_are_enough_of_them():
    vectors = np.random.default_rng(0).standard_normal((30, 5))
    vectors[:4] = vectors[0]
    found = diversity(vectors, np.zeros(30, np.intp), 3, 1.0)
    assert found[:4].tolist() == [0] * 4
    assert (found[4:] > 0).all()
