"""random keeps a share that knows nothing of the scores."""

import random

import numpy as np
import pytest

from delt_exp.errors import ConfigError
from delt_exp.rows.candidates import Candidates
from delt_exp.selector.random import random_ratio

IDS = np.random.default_rng(0).integers(2**64, size=1000, dtype=np.uint64)
SCORES = np.arange(1000, dtype=np.float32)


def test_every_document_is_as_likely_as_any_other():
    counts = np.zeros(20)
    for seed in range(2000):
        counts[
            random_ratio(
                Candidates.ungrouped(IDS[:20], SCORES[:20]),
                unit="documents",
                ratio=0.25,
                nested=True,
                draw=0,
                seed=seed,
            )
        ] += 1
    np.testing.assert_allclose(counts / 2000, 0.25, atol=0.04)  # 4 standard errors


def test_the_scores_are_not_read():
    np.testing.assert_array_equal(
        random_ratio(Candidates.ungrouped(IDS, SCORES), unit="documents", ratio=0.3, nested=True, draw=0, seed=0),
        random_ratio(Candidates.ungrouped(IDS, -SCORES), unit="documents", ratio=0.3, nested=True, draw=0, seed=0),
    )


def test_a_larger_ratio_keeps_all_that_a_smaller_one_keeps():
    small, large = (
        random_ratio(Candidates.ungrouped(IDS, SCORES), unit="documents", ratio=ratio, nested=True, draw=0, seed=3)
        for ratio in (0.29, 0.6)
    )
    assert (len(small), len(large)) == (290, 600)
    assert set(small) <= set(large)


def test_a_ratio_outside_its_range_is_refused():
    with pytest.raises(ConfigError, match=r"random_ratio\.ratio=2"):
        random_ratio(Candidates.ungrouped(IDS, SCORES), unit="documents", ratio=2, nested=True, draw=0, seed=0)


def test_the_file_name_does_not_hide_the_standard_library():
    assert hasattr(random, "Random")


def kept(**settings):
    found = random_ratio(
        Candidates.ungrouped(IDS, SCORES),
        **{"ratio": 0.4, "unit": "documents", "nested": True, "draw": 0, "seed": 3} | settings,
    )
    return set(found.tolist())


def test_draws_are_different_subsets_each_nested_in_its_own_larger_one():
    assert len({frozenset(kept(draw=draw)) for draw in range(4)}) == 4
    assert kept(draw=2, ratio=0.2) < kept(draw=2)


def test_subsets_that_are_not_nested_share_what_chance_gives():
    small, large = (kept(nested=False, ratio=ratio) for ratio in (0.2, 0.4))
    assert not small <= large
    expected = 0.4 * len(small)
    assert abs(len(small & large) - expected) < 5 * (len(small) * 0.4 * 0.6) ** 0.5
