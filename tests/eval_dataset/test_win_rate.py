"""Win rates: wins by hand, answers of model and start, and a judge that is apart from what it judges."""

import math
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from delt_exp.dataset.base import Document, Part
from delt_exp.errors import ConfigError, DataError
from delt_exp.eval_dataset.win_rate import WinRate, win_measures
from delt_exp.model.dpo import DPO
from delt_exp.model.objective import CrossEntropy
from delt_exp.preference.comparison import Comparison, wins_of_first
from delt_exp.preference.reward import RewardModel
from delt_exp.store.store import Store
from tests.eval_dataset.models import make_model
from tests.helpers import ListDataset, make_resources, new_folder, tiny_recipe

PAIRS = [Document(f"yes {'a' * i}", f"why {i}? ", rejected=f"no {i}") for i in range(5)]
LEARNT = [Document(f"good {i}", f"how {i}? ", rejected=f"bad {i} " + "b" * (i % 4)) for i in range(16)]
OBJECTIVE = DPO(beta=0.5, label_smoothing=0.0, length="sum", reference="start")


def reward_model(learnt=LEARNT, name=None, reference=None):
    recipe = tiny_recipe(batch_items=4, context_tokens=64)
    return RewardModel(name, reference, ListDataset(learnt), recipe, OBJECTIVE, epochs=2, seed=0)


def part_of(judge, items=PAIRS, **changes):
    return replace(WinRate(ListDataset(items), judge, None, max_new_tokens=8, temperature=1.0, seed=0), **changes)


@pytest.fixture
def models(tmp_path):
    """Return resources, and a model that is another than its start."""
    model, start = make_model(tmp_path, 64), make_model(tmp_path, 64, logit_scale=0.5)
    resources = make_resources(Store(tmp_path / "store", verify="hash"), model.tokenizer)
    return resources, replace(model, network=start.network)


def given_judge(tmp_path, resources):
    """Return a judge of two random models, whose rewards are those of test_preferences."""
    strong, weak = (str(make_model(tmp_path, 64, logit_scale=scale).pretrained) for scale in (1.0, 0.25))
    for folder in (strong, weak):
        resources.run_tokenizer.pretrained().save_pretrained(folder)
    return reward_model(name=strong, reference=weak)


def measures_of(part, model, resources):
    part.prepare(resources)
    evaluation = part.evaluate("duel", model, resources)
    return {measure.metric: measure for measure in evaluation.measures}, evaluation


def test_shares_by_hand():
    """Three wins of four, then one of two that were judged."""
    wins = {"win_rate": np.array([1.0, 1, 0, 1]), "judge_accuracy": np.array([np.nan, 0.5, 0.5, np.nan])}
    first, second = win_measures(wins)
    assert (first.value, first.count, first.unit) == (0.75, 4, "share of prompts")
    assert first.stderr == pytest.approx(math.sqrt(0.1875 / 3))
    assert (second.metric, second.value, second.stderr, second.count) == ("judge_accuracy", 0.5, 0.0, 2)
    with pytest.raises(DataError, match="no answer fits the context of the judge"):
        win_measures({"win_rate": np.array([np.nan])})


def test_the_answer_of_higher_reward_wins_and_one_without_text_loses(tmp_path, models):
    """Rewards are log ratios of the whole answer, end-of-text included, read one by one here."""
    import torch

    from delt_exp.pretrained.loading import load_causal_lm

    resources, _ = models
    judge = given_judge(tmp_path, resources)
    reward = judge.prepare(resources, 64)
    first = ["yes", "", "same", " ", "zzz"]
    second = ["no", "no", "same", "", "y"]
    found = wins_of_first(
        "duel", PAIRS, [Comparison("one", first, second), Comparison("turned", second, first)], reward, resources,
        new_folder(tmp_path) / "work",
    )  # fmt: skip
    np.testing.assert_array_equal(found[0] + found[1], 1.0)
    assert found[0, 1:4].tolist() == [0.0, 0.5, 0.5]
    networks, tokenizer = [load_causal_lm(name) for name in (judge.name, judge.reference)], reward.tokenizer
    for p in (0, 4):
        rewards = []
        for answer in (first[p], second[p]):
            prompt, written = (tokenizer.encode([text])[0] for text in (PAIRS[p].prompt, answer))
            ids = torch.tensor([tokenizer.begin_id, *prompt, *written, tokenizer.eos_id])
            with torch.no_grad():
                own, base = (n(ids[None, :-1]).logits[0].log_softmax(-1) for n in networks)
            rewards.append(
                sum(float(own[t, ids[t + 1]] - base[t, ids[t + 1]]) for t in range(len(prompt), len(ids) - 1))
            )
        assert found[0, p] == (rewards[0] > rewards[1])


def test_the_last_turn_of_a_conversation_is_what_is_replaced(tmp_path, models):
    resources, _ = models
    turns = (Part("user", "Why?"), Part("assistant", "So."), Part("user", "And?"), Part("assistant", "Thus."))
    reward = given_judge(tmp_path, resources).prepare(resources, 64)
    document, folder = Document(turns=turns, rejected="Not."), new_folder(tmp_path) / "work"
    comparison = Comparison("win_rate", ["Aye."], ["Nay."])
    wins = wins_of_first("duel", [document], [comparison], reward, resources, folder)
    assert wins[0, 0] in (0.0, 1.0)


def test_a_model_that_learnt_nothing_ties_with_its_start(tmp_path, models):
    resources, model = models
    part = part_of(given_judge(tmp_path, resources))
    same = replace(model, network=make_model(tmp_path, 64).network)
    found, _ = measures_of(part, same, resources)
    assert (found["win_rate_over_start"].value, found["win_rate_over_start"].stderr) == (0.5, 0.0)


def test_answers_and_verdicts_are_kept_and_agree_with_the_measures(tmp_path, models):
    resources, model = models
    found, evaluation = measures_of(part_of(given_judge(tmp_path, resources)), model, resources)
    table = pq.read_table(evaluation.folder / "answers.parquet").to_pydict()
    assert table["chosen"] == [document.text for document in PAIRS]
    assert any(a != b for a, b in zip(table["answer"], table["answer_of_start"], strict=True))
    for metric in ("win_rate", "win_rate_over_start", "judge_accuracy"):
        assert found[metric].value == pytest.approx(np.mean(table[metric]))
        assert found[metric].count == 5
    assert evaluation.left_out == {}


def test_a_judge_is_trained_once_for_all_models_with_its_start(tmp_path, models):
    resources, model = models
    found, _ = measures_of(part_of(reward_model()), model, resources)
    assert 0 <= found["win_rate"].value <= 1
    uses = len(resources.store.uses)
    measures_of(part_of(reward_model(), seed=1), model, resources)
    again = {use.stage: use.cached for use in resources.store.uses[uses:]}
    assert (again["model"], again["reference"], again["answers"]) == (True, True, False)


def test_answers_that_are_too_long_are_counted(tmp_path, models):
    resources, model = models
    items = [*PAIRS, Document("y" * 80, "why? ", rejected="no")]
    found, evaluation = measures_of(part_of(given_judge(tmp_path, resources), items), model, resources)
    assert found["win_rate"].count == 5
    assert evaluation.left_out == {"preferences with an answer that does not fit the context": 1}


def test_a_limit_takes_the_first_prompts(tmp_path, models):
    resources, model = models
    found, _ = measures_of(part_of(given_judge(tmp_path, resources), limit=2), model, resources)
    assert found["win_rate"].count == 2


class TestBadInput:
    def test_a_judge_that_learnt_from_what_it_judges_is_refused(self, models):
        resources, _ = models
        with pytest.raises(DataError, match=r"2 of 5 documents of the evaluation set are among those .* another split"):
            part_of(reward_model([*LEARNT, *PAIRS[:2]])).prepare(resources)

    def test_half_a_judge_is_refused(self, models):
        resources, _ = models
        with pytest.raises(ConfigError, match=r"judge.name is here and judge.reference None; give both"):
            part_of(reward_model(name="here")).prepare(resources)

    def test_a_judge_without_preferences_is_refused(self, models):
        resources, _ = models
        with pytest.raises(ConfigError, match=r"judge.objective learns no preferences"):
            part_of(replace(reward_model(), objective=CrossEntropy())).prepare(resources)

    def test_answers_without_room_are_refused(self, models):
        resources, model = models
        with pytest.raises(ConfigError, match=r"eval_dataset.duel.max_new_tokens is 64, and the context .* 64 tokens"):
            part_of(reward_model(), max_new_tokens=64).evaluate("duel", model, resources)

    def test_documents_without_preferences_are_refused(self, models):
        resources, _ = models
        with pytest.raises(DataError, match="not every document has a rejected answer"):
            part_of(reward_model(), items=["plain"]).prepare(resources)
