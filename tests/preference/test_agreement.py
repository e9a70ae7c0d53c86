"""An oracle that is known agrees with people as often as it was made to."""

from dataclasses import replace

import numpy as np
import pytest

from delt_exp.config.fields import settings
from delt_exp.dataset.base import Document
from delt_exp.preference.agreement import Agreement, agreement, agreement_stage, show_agreement
from delt_exp.store.evidence import Evidence
from tests.helpers import make_pool
from tests.preference.test_trained_reward import oracle_of, pairs


@settings
class Longer:
    """Rewards an answer by its letters; counts what it was asked."""

    VERSION = 1

    def rewards(self, resources, candidates, documents, rows, folder):
        found = [documents.corpus.document(int(row)) for row in rows]
        return np.array([[len(one.answer), len(one.rejected)] for one in found], float)

    def forecast(self, sizes, resources):
        return []


def test_the_accuracy_is_the_share_of_chosen_answers_with_the_higher_reward_and_a_tie_is_half():
    rewards = np.array([[2.0, 1.0], [2.0, 1.0], [1.0, 2.0], [3.0, 3.0]])
    # 1, 1, 0, 0.5: mean 0.625, variance (2 * 0.375^2 + 0.625^2 + 0.125^2) / 3
    found = agreement(rewards)
    assert (found.accuracy, found.num_preferences) == (0.625, 4)
    assert found.stderr == pytest.approx((0.6875 / 3 / 4) ** 0.5)


def test_what_has_no_reward_is_not_counted():
    assert agreement(np.array([[2.0, 1.0], [np.nan, 1.0], [1.0, np.inf]])) == Agreement(1.0, None, 1)
    assert agreement(np.full((3, 2), np.nan)) == Agreement(None, None, 0)


def test_it_is_measured_on_the_labels_of_the_candidates_that_fit(tmp_path):
    items = [*(Document("yes " * n, f"why {n}? ", rejected="no") for n in range(1, 7)),
             *(Document("no", f"how {n}? ", rejected="yes " * n) for n in range(1, 3)),
             Document("longer " * 30, "what? ", rejected="no")]  # fmt: skip
    pool = make_pool(tmp_path, items)
    found = agreement_stage(pool.resources, Longer(), pool.candidates, 40)
    assert (found.accuracy, found.num_preferences) == (6 / 8, 8)


def test_it_is_measured_anew_in_another_precision_in_which_an_oracle_would_be_trained(tmp_path):
    pool = make_pool(tmp_path, [Document("yes ", "why? ", rejected="no"), Document("no", "how? ", rejected="yes ")])
    resources = pool.resources
    for precision in ("32-true", "32-true", "bf16-mixed"):
        trained_in = replace(resources, trainer=replace(resources.trainer, precision=precision))
        agreement_stage(trained_in, Longer(), pool.candidates, 40)
    uses = resources.store.uses
    assert [use.cached for use in uses if use.stage == "agreement"] == [False, True, False]
    assert [use.cached for use in uses if use.stage == "rewards"] == [False, False]


@pytest.mark.slow
def test_a_trained_oracle_agrees_with_labels_that_it_has_not_seen(tmp_path):
    pool = make_pool(tmp_path, pairs(1, 12))
    assert agreement_stage(pool.resources, oracle_of(pairs(0, 64)), pool.candidates, 24) == Agreement(1.0, 0.0, 12)


@pytest.mark.parametrize(("accuracy", "is_warned"), [(0.58, True), (0.62, False), (0.4, True)])
def test_a_reader_is_warned_of_an_oracle_like_chance_and_always_told_its_accuracy(tmp_path, accuracy, is_warned):
    evidence = Evidence(tmp_path / "evidence")
    show_agreement(evidence, Agreement(accuracy, 0.05, 100))
    contents = evidence.contents()
    assert contents["numbers"]["oracle"]["values"] == {"accuracy": accuracy, "stderr": 0.05, "num_preferences": 100}
    assert [f"{accuracy:.3f} ± 0.050 of 100" in text for text in contents["warnings"]] == [True] * is_warned
