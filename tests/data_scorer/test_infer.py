"""Inference: what a prediction is, and that nothing about batches, shards, ranks or kills changes it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from delt_exp.data_scorer.fitted import FittedScorer, RegressorReading, save_weights
from delt_exp.data_scorer.regressor import Regressor
from delt_exp.errors import ConfigError, StoreError
from delt_exp.mapping import shards
from delt_exp.mapping.shards import Shards
from delt_exp.runtime import Runtime
from tests.data_scorer.tiny import letters, make_proxy, predict
from tests.helpers import RUNTIME, TRAINER, new_folder

pytestmark = pytest.mark.slow

# Lengths 1, and with end-of-text tokens exactly one window of 16, one more, exactly two, and many.
TEXTS = ["a", "b" * 14, "c" * 15, "ab" * 15, "hello " * 30, *letters(20)]
CONTEXT = 16


def fitted_on(proxy, folder):
    """A scorer with random weights in `folder`; labels had mean 100 and std 5."""
    regressor = Regressor.of_causal_lm(proxy.network)
    torch.nn.init.normal_(regressor.head.weight, generator=torch.Generator().manual_seed(0))
    torch.nn.init.constant_(regressor.head.bias, 0.25)
    tokenizer = proxy.candidates.meta["tokenizer"]
    weights = save_weights(regressor, folder)
    return FittedScorer(folder, RegressorReading(100.0, 5.0, CONTEXT, "32-true", tokenizer, weights, "last"))


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    return make_proxy(tmp_path_factory.mktemp("infer"), TEXTS, CONTEXT)


@pytest.fixture(scope="module")
def fitted(proxy, tmp_path_factory):
    return fitted_on(proxy, tmp_path_factory.mktemp("fitted"))


def by_hand(fitted, proxy, row):
    """One document alone: hidden states of all its windows, their mean, the head, the scale."""
    eos = proxy.tokenizer.eos_id
    ids = [eos, *proxy.tokenizer.encode([TEXTS[row]])[0], eos]
    pieces = [ids[start : start + CONTEXT] for start in range(0, len(ids), CONTEXT)]
    with torch.no_grad():
        hidden = torch.cat([
            proxy.network(input_ids=torch.tensor([piece]), output_hidden_states=True).hidden_states[-1][0]
            for piece in pieces
        ])  # fmt: skip
        output = fitted.regressor.head(hidden.mean(0))
    return 100 + 5 * float(output)


def test_a_prediction_is_the_head_on_the_mean_hidden_state_of_all_windows(fitted, proxy):
    predicted = fitted.predict_rows(proxy.candidates, np.arange(len(TEXTS)), RUNTIME)
    for row in range(len(TEXTS)):
        assert predicted[row] == pytest.approx(by_hand(fitted, proxy, row), abs=1e-4)


def test_architectures_without_llamas_names_are_read_alike(tmp_path):
    config = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32}
    proxy = make_proxy(tmp_path, TEXTS, CONTEXT, architecture="gpt2", config=config)
    fitted = fitted_on(proxy, new_folder(tmp_path))
    predicted = fitted.predict_rows(proxy.candidates, np.array([4]), RUNTIME)
    assert predicted[0] == pytest.approx(by_hand(fitted, proxy, 4), abs=1e-4)


@given(rows=st.lists(st.integers(0, len(TEXTS) - 1), min_size=1, max_size=8), batch_tokens=st.integers(1, 200))
def test_batch_mates_padding_and_batch_size_change_nothing(fitted, proxy, rows, batch_tokens):
    together = fitted.predict_rows(proxy.candidates, np.array(rows), Runtime("cpu", batch_tokens))
    alone = [fitted.predict_rows(proxy.candidates, np.array([row]), RUNTIME)[0] for row in rows]
    assert together == pytest.approx(alone, abs=2e-4)


@pytest.fixture
def four_a_shard(monkeypatch):
    monkeypatch.setattr(shards, "SHARD_SIZE", 4000)
    monkeypatch.setattr(shards, "SHARD_ITEMS", 4)


def test_a_killed_inference_continues_and_computes_no_shard_twice(fitted, proxy, tmp_path, monkeypatch, four_a_shard):
    undisturbed = predict(fitted, proxy.candidates, tmp_path / "whole")
    original, computed = Shards.write, []

    def killed_in_third_shard(self, shard, *rest):
        if len(computed) == 2:
            raise KeyboardInterrupt
        computed.append(shard)
        original(self, shard, *rest)

    monkeypatch.setattr(Shards, "write", killed_in_third_shard)
    with pytest.raises(KeyboardInterrupt):
        predict(fitted, proxy.candidates, tmp_path / "killed")
    assert len(list((tmp_path / "killed").glob("*.parquet"))) == 2
    monkeypatch.setattr(Shards, "write", lambda self, shard, *x: computed.append(shard) or original(self, shard, *x))
    continued = predict(fitted, proxy.candidates, tmp_path / "killed")
    assert computed == [0, 1, 2, 3, 4, 5, 6]
    assert np.array_equal(continued, undisturbed)
    predict(fitted, proxy.candidates, tmp_path / "killed")
    assert len(computed) == 7


def test_shards_of_another_scorer_and_tokens_of_another_tokenizer_are_refused(fitted, proxy, tmp_path):
    predict(fitted, proxy.candidates, tmp_path)
    other = replace(fitted, reading=replace(fitted.reading, label_std=6.0))
    with pytest.raises(StoreError, match="another model"):
        predict(other, proxy.candidates, tmp_path)
    foreign = replace(fitted, reading=replace(fitted.reading, tokenizer="0123"))
    with pytest.raises(ConfigError, match="0123"):
        predict(foreign, proxy.candidates, tmp_path / "other")


def test_several_processes_give_the_same_bits(fitted, proxy, tmp_path, four_a_shard):
    """Two workers share seven shards, which they do not divide."""
    several = replace(TRAINER, strategy="ddp", devices=2)
    alone, together = (predict(fitted, proxy.candidates, tmp_path / t.strategy, t) for t in (TRAINER, several))
    np.testing.assert_array_equal(together, alone)
    one_by_one = [fitted.predict_rows(proxy.candidates, np.array([row]), RUNTIME)[0] for row in range(len(TEXTS))]
    assert together == pytest.approx(one_by_one, abs=1e-4)
    assert len(set(one_by_one)) > 20
