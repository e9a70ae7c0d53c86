"""A reward model is read as it stands: one number for prompt and answer under its own tokenizer."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForSequenceClassification

from delt_exp.dataset.base import Document
from delt_exp.errors import ConfigError
from delt_exp.preference.reward_model import RewardJudge, RewardModel
from tests.eval_dataset.models import VOCAB, make_model
from tests.helpers import make_byte_tokenizer, make_corpus, make_pool, new_folder

PAIRS = [Document(f"yes {'a' * i}", f"{'why' * i}? ", rejected=f"no {i}") for i in range(4)]


def saved(tmp_path, num_labels=1):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=128, num_labels=num_labels, pad_token_id=None,
    )  # fmt: skip
    network, folder = LlamaForSequenceClassification(config), tmp_path / f"labels-{num_labels}"
    network.save_pretrained(folder)
    make_byte_tokenizer(tmp_path, make_corpus(tmp_path, ["any"])).pretrained().save_pretrained(folder)
    return network.eval(), folder


def contract_overrides(folder):
    return [f"oracle.name={saved(folder)[1]}", "oracle.context_tokens=64"]


def test_rewards_are_those_of_the_whole_text_and_its_end(tmp_path):
    (network, folder), pool = saved(tmp_path), make_pool(tmp_path, PAIRS)
    oracle, rows, tokens = RewardModel(str(folder), None, 60), np.array([0, 2]), pool.candidates.tokens
    rewards = oracle.rewards(pool.resources, pool.candidates.corpus, pool.candidates, rows, tmp_path)
    for row, found in zip(rows, rewards, strict=True):
        for text, reward in zip((PAIRS[row].text, PAIRS[row].rejected), found, strict=True):
            ids = [tokens.begin_id, *pool.resources.run_tokenizer.encode([PAIRS[row].prompt + text])[0], tokens.eos_id]
            assert reward == pytest.approx(network(input_ids=torch.tensor([ids])).logits.item(), abs=1e-6)
    assert np.abs(rewards).min() > 0


def test_a_prompt_is_cut_at_its_beginning_and_an_answer_that_does_not_fit_has_no_reward(tmp_path):
    (_, folder), pool = saved(tmp_path), make_pool(tmp_path, PAIRS)
    same = make_pool(tmp_path, [replace(pair, prompt="x" + pair.prompt) for pair in PAIRS])
    short, rows = RewardModel(str(folder), None, 10), np.arange(4)
    rewards = [
        short.rewards(p.resources, p.candidates.corpus, p.candidates, rows, new_folder(tmp_path))[3]
        for p in (pool, same)
    ]
    np.testing.assert_array_equal(*rewards)
    # Answers "yes " and "no 0" have 4 tokens and their end; with the begin token that is what 6 hold.
    found = RewardModel(str(folder), None, 6).rewards(
        pool.resources, pool.candidates.corpus, pool.candidates, rows, new_folder(tmp_path)
    )
    assert np.isnan(found).tolist() == [[False] * 2, [True] * 2, [True] * 2, [True] * 2]


def test_a_killed_judgement_continues_with_the_pairs_that_are_left(tmp_path, monkeypatch):
    (_, folder), pool = saved(tmp_path), make_pool(tmp_path, PAIRS * 8)
    monkeypatch.setattr("delt_exp.mapping.shards.SHARD_SIZE", 400)
    arguments = pool.resources, pool.candidates.corpus, pool.candidates, np.arange(32), tmp_path
    oracle, read, opened = RewardModel(str(folder), None, 60), [], RewardJudge.open

    def dying(judge, device):
        judgement = opened(judge, device)

        def counted(pairs):
            if len(read) >= 8:
                raise KeyboardInterrupt
            read.extend(pairs.items)
            return judgement(pairs)

        return counted

    with monkeypatch.context() as patch:
        patch.setattr(RewardJudge, "open", dying)
        with pytest.raises(KeyboardInterrupt):
            oracle.rewards(*arguments)
    done = len(list((tmp_path / "shards").glob("*.parquet")))
    rewards = oracle.rewards(*arguments)
    assert done
    np.testing.assert_array_equal(rewards, oracle.rewards(*arguments[:-1], new_folder(tmp_path)))


def test_models_that_give_no_reward_are_refused(tmp_path):
    RewardModel(str(saved(tmp_path)[1]), None, 60).check_weights(fetch=True)
    with pytest.raises(ConfigError, match="has 2 outputs, but a reward is one number"):
        RewardModel(str(saved(tmp_path, 2)[1]), None, 60).check_weights(fetch=True)
    trained, pool = make_model(tmp_path, 64), make_pool(tmp_path, PAIRS)
    pool.resources.run_tokenizer.pretrained().save_pretrained(trained.pretrained)
    with pytest.raises(ConfigError, match="has 2 outputs"):
        RewardModel(str(trained.pretrained), None, 60).check_weights(fetch=True)


def test_a_context_longer_than_the_model_is_refused_before_anything_runs(tmp_path):
    folder = str(saved(tmp_path)[1])
    RewardModel(folder, None, 128).check_weights(fetch=True)
    with pytest.raises(ConfigError, match=r"context_tokens is 129, but .* has 128 positions; set it to 128"):
        RewardModel(folder, None, 129).check_weights(fetch=True)
