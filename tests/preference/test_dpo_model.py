"""A model that DPO trained elsewhere rewards answers by what it makes more probable than the model it began with."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from delt_exp.dataset.base import Document
from delt_exp.errors import ConfigError, DeltError
from delt_exp.preference.dpo_model import DpoModel
from delt_exp.pretrained.loading import load_causal_lm
from tests.eval_dataset.models import make_model
from tests.helpers import make_pool

PAIRS = [Document(f"yes {'a' * i}", f"{'why' * i}? ", rejected=f"no {i}") for i in range(4)]


def two_models(tmp_path):
    """Return folders of two random models with their tokenizer."""
    models = [make_model(tmp_path, 64, logit_scale=scale) for scale in (1.0, 0.25)]
    for model in models:
        model.tokenizer.pretrained().save_pretrained(model.pretrained)
    return tuple(str(model.pretrained) for model in models)


def contract_overrides(folder):
    name, reference = two_models(folder)
    return [f"oracle.name={name}", f"oracle.reference={reference}", "oracle.context_tokens=64"]


@pytest.mark.slow
def test_a_reward_is_the_log_ratio_of_the_whole_answer_and_its_end(tmp_path):
    names, pool = two_models(tmp_path), make_pool(tmp_path, PAIRS)
    rows, tokenizer = np.array([1, 3]), pool.resources.run_tokenizer
    rewards = DpoModel(*names, 64).rewards(pool.resources, pool.candidates.corpus, pool.candidates, rows, tmp_path)
    networks = [load_causal_lm(name) for name in names]
    for row, found in zip(rows, rewards, strict=True):
        for answer, reward in zip((PAIRS[row].text, PAIRS[row].rejected), found, strict=True):
            prompt, written = tokenizer.encode([PAIRS[row].prompt, answer])
            ids = torch.tensor([[tokenizer.begin_id, *prompt, *written, tokenizer.eos_id]])
            with torch.no_grad():
                own, base = (network(ids[:, :-1]).logits[0].log_softmax(-1) for network in networks)
            ratios = [float((own - base)[t, ids[0, t + 1]]) for t in range(len(prompt), ids.shape[1] - 1)]
            assert reward == pytest.approx(sum(ratios), abs=1e-4)
    assert np.abs(rewards).min() > 1e-2


def test_an_answer_that_does_not_fit_has_no_reward(tmp_path):
    """Answers "yes " and "no 0" have 4 tokens and their end."""
    names, pool = two_models(tmp_path), make_pool(tmp_path, PAIRS)
    found = DpoModel(*names, 5).rewards(pool.resources, pool.candidates.corpus, pool.candidates, np.arange(4), tmp_path)
    assert np.isnan(found).tolist() == [[False] * 2, [True] * 2, [True] * 2, [True] * 2]


def test_a_context_longer_than_a_model_is_refused_before_anything_runs(tmp_path):
    names = two_models(tmp_path)
    limit = load_causal_lm(names[0]).config.max_position_embeddings
    DpoModel(*names, limit).check_weights(fetch=True)
    with pytest.raises(ConfigError, match=f"context_tokens is {limit + 1}, but .* has {limit} positions"):
        DpoModel(*names, limit + 1).check_weights(fetch=True)


def test_weights_are_checked_before_anything_runs(tmp_path):
    name, reference = two_models(tmp_path)
    assert list(DpoModel(name, reference, 64).check_weights(fetch=True)) == []
    with pytest.raises(DeltError, match="nowhere"):
        DpoModel(name, str(tmp_path / "nowhere"), 64).check_weights(fetch=True)


def test_a_reference_with_another_tokenizer_is_refused_before_it_reads(tmp_path):
    names, pool = two_models(tmp_path), make_pool(tmp_path, PAIRS)
    file = Path(names[1]) / "tokenizer.json"
    content = json.loads(file.read_text())
    vocabulary = content["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="the tokenizer gives other ids than"):
        DpoModel(*names, 64).rewards(pool.resources, pool.candidates.corpus, pool.candidates, np.arange(4), tmp_path)
