"""shuffle is uniform and blind to scores."""

from collections import Counter

import numpy as np
import pytest

from delt_exp.errors import ConfigError
from delt_exp.orderer.shuffle import shuffle
from delt_exp.rows.candidates import Candidates

IDS = np.array([30, 10, 20], dtype=np.uint64)


def test_every_permutation_is_as_likely_as_any_other():
    counts = Counter(
        tuple(shuffle(Candidates.ungrouped(IDS, np.zeros(3, np.float32)), seed=seed)) for seed in range(3000)
    )
    assert len(counts) == 6
    np.testing.assert_allclose(np.array(list(counts.values())) / 3000, 1 / 6, atol=0.028)  # 4 standard errors


def test_the_scores_are_not_read():
    scores = np.array([1, 2, 3], dtype=np.float32)
    for seed in range(10):
        np.testing.assert_array_equal(
            shuffle(Candidates.ungrouped(IDS, scores), seed=seed),
            shuffle(Candidates.ungrouped(IDS, -scores), seed=seed),
        )


def test_a_negative_seed_is_refused():
    with pytest.raises(ConfigError, match="seed=-1"):
        shuffle(Candidates.ungrouped(IDS, np.zeros(3, np.float32)), seed=-1)
