"""An oracle learns from held-out preferences alone, and labels by what they have in common."""

import json
from dataclasses import replace

import numpy as np
import pytest

from delt_exp.dataset.base import Document
from delt_exp.errors import ConfigError, DataError
from delt_exp.model.dpo import DPO
from delt_exp.model.objective import CrossEntropy
from delt_exp.preference.trained_reward import TrainedReward
from tests.helpers import ListDataset, make_pool, tiny_recipe

pytestmark = pytest.mark.slow

DPO_OBJECTIVE = DPO(beta=0.5, label_smoothing=0.0, length="sum", reference="start")


def pairs(seed: int, count: int) -> list[Document]:
    """Preferences for `aba` over `zyz`, after prompts that differ."""
    rng = np.random.default_rng(seed)
    prompts = ["".join(rng.choice(list("mnopq"), 6)) + "? " for _ in range(count)]
    return [Document(f"aba {i % 7}", prompt, rejected=f"zyz {i % 7}") for i, prompt in enumerate(prompts)]


def oracle_of(items, **changes):
    """The recipe is that of a model which learns from texts: the objective is the oracle's own."""
    recipe = tiny_recipe(context_tokens=24)
    return replace(TrainedReward(ListDataset(items), recipe, DPO_OBJECTIVE, train_tokens=4000, seed=0), **changes)


def rewards_of(oracle, tmp_path, items):
    pool = make_pool(tmp_path, items)
    rows = np.arange(len(items))
    corpus = pool.candidates.corpus
    return oracle.rewards(pool.resources, corpus, pool.candidates, rows, pool.work_dir), pool


def test_it_prefers_what_the_held_out_preferences_preferred_whichever_side_it_is_on(tmp_path):
    asked = [*pairs(1, 8), *(replace(pair, text=pair.rejected, rejected=pair.text) for pair in pairs(2, 8))]
    rewards, _ = rewards_of(oracle_of(pairs(0, 64)), tmp_path, asked)
    margins = rewards[:, 0] - rewards[:, 1]
    assert (margins[:8] > 0).all()
    assert (margins[8:] < 0).all()


def test_candidates_are_left_out_of_what_it_learns_from(tmp_path):
    asked = pairs(1, 6)
    _, pool = rewards_of(oracle_of([*pairs(0, 40), *asked]), tmp_path / "some", asked)
    entries = [json.loads((use.path / "meta.json").read_text()) for use in pool.resources.store.uses
               if use.stage == "corpus"]  # fmt: skip
    assert entries[-1]["counts"]["contaminated"] == 6
    with pytest.raises(DataError, match="all 6 documents are, or nearly are"):
        rewards_of(oracle_of(asked), tmp_path / "all", asked)


def test_messages_of_its_training_run_name_its_own_keys(tmp_path):
    with pytest.raises(DataError, match=r"raise oracle\.recipe\.context_tokens, lower oracle"):
        rewards_of(oracle_of(pairs(0, 5)), tmp_path, pairs(1, 4))


def test_an_answer_longer_than_its_context_has_no_reward(tmp_path):
    rewards, _ = rewards_of(oracle_of(pairs(0, 32)), tmp_path, [*pairs(1, 2), Document("aba " * 9, "? ", rejected="z")])
    assert np.isnan(rewards).tolist() == [[False, False], [False, False], [True, True]]


def test_an_objective_that_does_not_learn_from_preferences_is_refused():
    with pytest.raises(ConfigError, match=r"oracle.objective learns no preferences, and so no reward; use dpo"):
        oracle_of(pairs(0, 8), objective=CrossEntropy())
