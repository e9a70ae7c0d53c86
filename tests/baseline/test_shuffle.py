"""The baseline trains what scorer=random, a best share and orderer=shuffle train; `none` trains nothing."""

import numpy as np
import pytest

from delt_exp.baseline.none import no_baseline
from delt_exp.baseline.shuffle import shuffled
from delt_exp.errors import ConfigError
from delt_exp.orderer.shuffle import shuffle
from delt_exp.rows.candidates import Candidates
from delt_exp.scorer.random import random_scores
from delt_exp.selector.top_r import top_r

IDS = np.arange(1, 101, dtype=np.uint64) * np.uint64(7919)


def seen(goodness):
    return Candidates.ungrouped(IDS, np.asarray(goodness, np.float32))


def test_it_is_what_the_random_arm_of_a_study_trains():
    scored = seen(random_scores(IDS, 3))
    kept = top_r(scored, ratio=0.4, unit="documents")
    np.testing.assert_array_equal(shuffled(seen(range(100)), 40, seed=3), kept[shuffle(scored.take(kept), seed=3)])


def test_scores_of_the_run_decide_nothing():
    np.testing.assert_array_equal(shuffled(seen(range(100)), 40, seed=0), shuffled(seen(range(100, 0, -1)), 40, seed=0))


def test_another_seed_draws_other_documents_in_another_order():
    one, other = (shuffled(seen(range(100)), 40, seed=seed) for seed in (0, 1))
    assert set(one.tolist()) != set(other.tolist())
    assert len(set(one.tolist())) == 40


def test_it_can_keep_everything():
    assert sorted(shuffled(seen(range(100)), 100, seed=0).tolist()) == list(range(100))


def test_a_bad_seed_is_refused():
    with pytest.raises(ConfigError, match="seed"):
        shuffled(seen(range(100)), 4, seed=-1)


def test_none_trains_nothing():
    assert no_baseline(seen(range(100)), 4) is None
