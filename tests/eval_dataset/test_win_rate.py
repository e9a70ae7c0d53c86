"""Win rates: wins by hand, answers of model and start, and an oracle that is apart from what it is asked about."""

import json
import math
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from delt_exp.config.build import CONF, build, plain
from delt_exp.config.compose import composed
from delt_exp.corpus.stages import corpus_stage, text_stage
from delt_exp.corpus.writing import WHOLE
from delt_exp.dataset.base import Document, Part
from delt_exp.errors import ConfigError, DataError
from delt_exp.eval_dataset.win_rate import WinRate, win_measures
from delt_exp.model.cost import model_size
from delt_exp.model.dpo import DPO
from delt_exp.model.generate import generate_ids
from delt_exp.preference.comparison import rewarded, wins_of_first
from delt_exp.preference.dpo_model import DpoModel
from delt_exp.preference.trained_reward import TrainedReward
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.rows.draws import seed_for
from delt_exp.store.store import Store
from tests.contract import target
from tests.eval_dataset.models import make_model
from tests.helpers import ListDataset, make_resources, tiny_recipe
from tests.preference.test_dpo_model import two_models
from tests.preference.test_sampled import Sevens

PAIRS = [Document(f"yes {'a' * i}", f"why {i}? ", rejected=f"no {i}") for i in range(5)]
LEARNT = [Document(f"good {i}", f"how {i}? ", rejected=f"bad {i} " + "b" * (i % 4)) for i in range(16)]
OBJECTIVE = DPO(beta=0.5, label_smoothing=0.0, length="sum", reference="start")


def trained_oracle(learnt=LEARNT, **changes):
    recipe = tiny_recipe(batch_items=4, context_tokens=64)
    return replace(TrainedReward(ListDataset(learnt), recipe, OBJECTIVE, train_tokens=600, seed=0), **changes)


def part_of(oracle, items=PAIRS, **changes):
    return replace(WinRate(ListDataset(items), oracle, None, max_new_tokens=8, temperature=1.0, seed=0), **changes)


@pytest.fixture
def models(tmp_path):
    """Return resources, and a model that is another than its start."""
    model, start = make_model(tmp_path, 64), make_model(tmp_path, 64, logit_scale=0.5)
    resources = make_resources(Store(tmp_path / "store", verify="hash"), model.tokenizer)
    return resources, replace(model, network=start.network)


def given_oracle(tmp_path):
    """Return an oracle of two random models."""
    return DpoModel(*two_models(tmp_path), 64)


def measures_of(part, model, resources):
    part.prepare(resources)
    evaluation = part.evaluate("duel", model, resources)
    return {measure.metric: measure for measure in evaluation.measures}, evaluation


def test_shares_by_hand():
    """Three wins of four, then one of two that were read."""
    wins = {"win_rate": np.array([1.0, 1, 0, 1]), "oracle_accuracy": np.array([np.nan, 0.5, 0.5, np.nan])}
    first, second = win_measures(wins)
    assert (first.value, first.count, first.unit) == (0.75, 4, "share of prompts")
    assert first.stderr == pytest.approx(math.sqrt(0.1875 / 3))
    assert (second.metric, second.value, second.stderr, second.count) == ("oracle_accuracy", 0.5, 0.0, 2)
    with pytest.raises(DataError, match="the oracle reads no answer to the end"):
        win_measures({"win_rate": np.array([np.nan])})


def documents_of(resources, items):
    store = resources.store
    return text_stage(store, corpus_stage(store, ListDataset(items), WHOLE), resources.run_tokenizer)


def test_the_answer_of_higher_reward_wins_and_one_without_text_loses(models):
    """The oracle likes sevens, letters whose code 7 divides: `b` is 98, `i` 105 and `p` 112."""
    resources, _ = models
    data, rows = documents_of(resources, PAIRS), np.arange(5)
    first, second = ["bip", "", "same", " ", "a"], ["no", "no", "same", "", "bi"]
    one, other = rewarded(resources, Sevens(), data, rows, first, second)
    assert wins_of_first(one, other).tolist() == [1, 0, 0.5, 0.5, 0]
    assert wins_of_first(other, one).tolist() == [0, 1, 0.5, 0.5, 1]
    assert wins_of_first(*rewarded(resources, Sevens(), data, rows[1:3], ["b", "i"], ["i", "a"])).tolist() == [0.5, 1]
    third, _ = rewarded(resources, Sevens(), data, rows, ["a", "b", "same", "", "bip"], second)
    assert wins_of_first(one, third).tolist() == [1, 0, 0.5, 0.5, 0]  # of two readings


def test_what_the_oracle_does_not_read_is_no_win(models):
    resources, _ = models
    oracle, data = Sevens(is_broken=True), documents_of(resources, PAIRS)
    wins = wins_of_first(*rewarded(resources, oracle, data, np.arange(2), ["b", ""], ["a", "a"]))
    np.testing.assert_array_equal(wins, [np.nan, 0])


def test_the_last_turn_of_a_conversation_is_what_is_replaced(models):
    resources, _ = models
    turns = (Part("user", "Why?"), Part("assistant", "So."), Part("user", "And?"), Part("assistant", "bbb"))
    data = documents_of(resources, [Document(turns=turns, rejected="Not.")])
    wins = wins_of_first(*rewarded(resources, Sevens(), data, np.arange(1), ["b"], ["bi"]))
    assert wins.tolist() == [0]


@pytest.mark.slow
def test_answers_are_what_each_network_writes_after_the_prompt_alone(tmp_path, models):
    resources, model = models
    part = part_of(given_oracle(tmp_path))
    _, evaluation = measures_of(part, model, resources)
    table = pq.read_table(evaluation.folder / "answers.parquet").to_pydict()
    corpus, tokenizer = part.text(resources.store), model.tokenizer
    networks = {"answer": load_causal_lm(model.pretrained), "answer_of_start": load_causal_lm(model.network.name)}
    for column, network in networks.items():
        for row, document in enumerate(PAIRS):
            prompt = [tokenizer.begin_id, *tokenizer.encode([document.prompt])[0]]
            (ids,) = generate_ids(
                network, tokenizer, [prompt], [(int(corpus.ids[row]), 0)], max_new_tokens=8, stop=[], temperature=1.0,
                seed=seed_for(0, "answers to compare"), batch_tokens=100,
            )  # fmt: skip
            assert table[column][row] == tokenizer.text_before(ids, [])


@pytest.mark.slow
def test_a_model_that_learnt_nothing_ties_with_its_start(tmp_path, models):
    resources, model = models
    part = part_of(given_oracle(tmp_path))
    same = replace(model, network=make_model(tmp_path, 64).network)
    found, _ = measures_of(part, same, resources)
    assert (found["win_rate_over_start"].value, found["win_rate_over_start"].stderr) == (0.5, 0.0)


@pytest.mark.slow
def test_answers_and_verdicts_are_kept_and_agree_with_the_measures(tmp_path, models):
    resources, model = models
    found, evaluation = measures_of(part_of(given_oracle(tmp_path)), model, resources)
    table = pq.read_table(evaluation.folder / "answers.parquet").to_pydict()
    assert table["chosen"] == [document.text for document in PAIRS]
    assert any(a != b for a, b in zip(table["answer"], table["answer_of_start"], strict=True))
    for metric in ("win_rate", "win_rate_over_start", "oracle_accuracy"):
        assert found[metric].value == pytest.approx(np.mean(table[metric]))
        assert found[metric].count == 5
    assert evaluation.left_out == {}


@pytest.mark.slow
def test_an_oracle_is_trained_once_for_all_models_with_its_start(tmp_path, models):
    resources, model = models
    found, _ = measures_of(part_of(trained_oracle()), model, resources)
    assert 0 <= found["win_rate"].value <= 1
    uses = len(resources.store.uses)
    measures_of(part_of(trained_oracle(), seed=1), model, resources)
    again = {use.stage: use.cached for use in resources.store.uses[uses:]}
    assert (again["model"], again["reference"], again["answers"]) == (True, True, False)


@pytest.mark.slow
def test_answers_that_are_too_long_are_counted(tmp_path, models):
    resources, model = models
    items = [*PAIRS, Document("y" * 80, "why? ", rejected="no")]
    found, evaluation = measures_of(part_of(given_oracle(tmp_path), items), model, resources)
    assert found["win_rate"].count == 5
    assert evaluation.left_out == {"preferences with an answer that does not fit the context": 1}


@pytest.mark.slow
def test_a_limit_takes_the_first_prompts(tmp_path, models):
    resources, model = models
    found, _ = measures_of(part_of(given_oracle(tmp_path), limit=2), model, resources)
    assert found["win_rate"].count == 2


@pytest.mark.slow
def test_an_oracle_does_not_learn_from_what_it_is_asked_about(models):
    resources, model = models
    part = part_of(trained_oracle([*LEARNT, *PAIRS[:2]]))
    measures_of(part, model, resources)
    counts = [json.loads((use.path / "meta.json").read_text())["counts"] for use in resources.store.uses
              if use.stage == "corpus"]  # fmt: skip
    assert max(count.get("contaminated", 0) for count in counts) == 2


class TestBadInput:
    def test_messages_of_the_oracle_name_its_place(self, models):
        resources, model = models
        oracle = trained_oracle(train_tokens=5)
        with pytest.raises(ConfigError, match=r"eval_dataset\.duel\.oracle\.train_tokens"):
            part_of(oracle).evaluate("duel", model, resources)

    def test_answers_without_room_are_refused(self, models):
        resources, model = models
        with pytest.raises(ConfigError, match=r"eval_dataset.duel.max_new_tokens is 64, and the context .* 64 tokens"):
            part_of(trained_oracle(), max_new_tokens=64).evaluate("duel", model, resources)

    def test_documents_without_preferences_are_refused(self, models):
        resources, _ = models
        with pytest.raises(DataError, match="not every document has a rejected answer"):
            part_of(trained_oracle(), items=["plain"]).prepare(resources)


@pytest.mark.parametrize("option", ["trained", "dpo_model", "reward_model"])
def test_the_preset_takes_any_oracle(option, tmp_path):
    keys = {"dpo_model": ["name=a", "reference=b"], "reward_model": ["name=a"]}.get(option, [])
    place = "eval_dataset.hh_win_rate.oracle"
    chosen = [f"oracle@{place}={option}", *(f"{place}.{key}" for key in keys)]
    config = composed(CONF, ["eval_dataset=hh_win_rate", f"data_dir={tmp_path}", *chosen])
    oracle = build(plain(config.eval_dataset)["hh_win_rate"], "eval_dataset.hh_win_rate").oracle
    assert type(oracle).__name__ == target("oracle", option).rpartition(".")[2]


@pytest.mark.slow
def test_an_oracle_that_reads_in_another_precision_is_asked_again(models, tmp_path, monkeypatch):
    """About the same answers: whoever writes them may write others in another precision."""
    resources, model = models
    monkeypatch.setattr(WinRate, "_answers", lambda *_: (["yes"] * len(PAIRS), ["no"] * len(PAIRS)))
    part = part_of(given_oracle(tmp_path))
    half = replace(resources, trainer=replace(resources.trainer, precision="bf16-mixed"))
    folders = [measures_of(part, model, one)[1].folder for one in (resources, resources, half)]
    assert folders[0] == folders[1] != folders[2]


def test_a_context_without_room_is_refused_before_a_model_is_trained(models, tmp_path):
    resources, _ = models
    part = part_of(given_oracle(tmp_path))
    part.check_model("duel", tiny_recipe(context_tokens=64), resources)
    with pytest.raises(ConfigError, match=r"eval_dataset\.duel\.max_new_tokens is 8, and the context"):
        part.check_model("duel", tiny_recipe(context_tokens=8), resources)
    with pytest.raises(DataError, match="eval_dataset duel: none of 5 pairs"):
        replace(part, max_new_tokens=1).check_model("duel", tiny_recipe(context_tokens=3), resources)


def test_answers_of_model_and_start_and_the_oracle_are_forecast(models):
    resources, model = models
    size = model_size(model.network.transformers_config(resources.run_tokenizer), 64)
    answers, oracle = part_of(trained_oracle(), max_new_tokens=8).forecast(size, resources)
    prompt_tokens = sum(len(f"why {i}? ") for i in range(5))  # a byte each
    assert answers.passes == 10
    assert answers.flops == 2 * size.parameters * 2 * (prompt_tokens + 5 * 8)
    assert oracle.phase == "oracle"
