"""Inference: what a prediction is, and that nothing about batches, shards, ranks or kills changes it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from hypothesis import given
from hypothesis import strategies as st

from delt_exp.corpus.windows import buckets, windows_of
from delt_exp.data_scorer import infer
from delt_exp.data_scorer.fitted import FittedScorer, Reading
from delt_exp.data_scorer.infer import predict
from delt_exp.data_scorer.regressor import Regressor
from delt_exp.errors import ConfigError, StoreError
from delt_exp.runtime import Runtime
from tests.data_scorer.ranks import run_rank, scorer
from tests.data_scorer.tiny import letters, make_proxy
from tests.helpers import RUNTIME

# Lengths 1, and with end-of-text tokens exactly one window of 16, one more, exactly two, and many.
TEXTS = ["a", "b" * 14, "c" * 15, "ab" * 15, "hello " * 30, *letters(20)]
CONTEXT = 16


def fitted_on(proxy):
    """A scorer with random weights; labels had mean 100 and std 5."""
    regressor = Regressor.of_causal_lm(proxy.network)
    torch.nn.init.normal_(regressor.head.weight, generator=torch.Generator().manual_seed(0))
    torch.nn.init.constant_(regressor.head.bias, 0.25)
    tokenizer = proxy.candidates.meta["tokenizer"]
    return FittedScorer(regressor.eval(), Reading(100.0, 5.0, CONTEXT, "32-true", tokenizer, ["weights"], "last"))


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    return make_proxy(tmp_path_factory.mktemp("infer"), TEXTS, CONTEXT)


@pytest.fixture(scope="module")
def fitted(proxy):
    return fitted_on(proxy)


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
    fitted = fitted_on(proxy)
    predicted = fitted.predict_rows(proxy.candidates, np.array([4]), RUNTIME)
    assert predicted[0] == pytest.approx(by_hand(fitted, proxy, 4), abs=1e-4)


@given(rows=st.lists(st.integers(0, len(TEXTS) - 1), min_size=1, max_size=8), batch_tokens=st.integers(1, 200))
def test_batch_mates_padding_and_batch_size_change_nothing(fitted, proxy, rows, batch_tokens):
    together = fitted.predict_rows(proxy.candidates, np.array(rows), Runtime("cpu", batch_tokens))
    alone = [fitted.predict_rows(proxy.candidates, np.array([row]), RUNTIME)[0] for row in rows]
    assert together == pytest.approx(alone, abs=2e-4)


@given(context=st.integers(1, 40))
def test_windows_hold_every_token_once_and_in_order(proxy, context):
    windows = windows_of(proxy.candidates, np.arange(len(TEXTS)), context)
    batch = windows.batch(np.arange(len(windows.document_W)))
    eos = proxy.tokenizer.eos_id
    for row, text in enumerate(TEXTS):
        own = np.flatnonzero(batch.document_W.numpy() == row)
        ids = [i for w in own for i in batch.ids_WT[w, : batch.lengths_W[w]].tolist()]
        assert ids == [eos, *proxy.tokenizer.encode([text])[0], eos]


@given(st.lists(st.integers(1, 100), min_size=1), st.integers(1, 30), st.integers(1, 200))
def test_buckets_hold_every_item_once_within_the_limit(totals, context, limit):
    found = list(buckets(np.array(totals), context, limit))
    assert sorted(np.concatenate(found)) == list(range(len(totals)))
    for bucket in found:
        width = min(max(totals[i] for i in bucket), context)
        padded = width * sum(-(-totals[i] // context) for i in bucket)
        assert padded <= limit or len(bucket) == 1


def test_a_killed_inference_continues_and_computes_no_shard_twice(fitted, proxy, tmp_path, monkeypatch):
    monkeypatch.setattr(infer, "SHARD_DOCUMENTS", 4)
    undisturbed = predict(fitted, proxy.candidates, RUNTIME, tmp_path / "whole")
    original, computed = FittedScorer.predict_rows, []

    def killed_in_third_shard(fitted, tokens, rows, *rest):
        if len(computed) == 2:
            raise KeyboardInterrupt
        computed.append(rows[0])
        return original(fitted, tokens, rows, *rest)

    monkeypatch.setattr(FittedScorer, "predict_rows", killed_in_third_shard)
    with pytest.raises(KeyboardInterrupt):
        predict(fitted, proxy.candidates, RUNTIME, tmp_path / "killed")
    assert len(list((tmp_path / "killed").glob("*.npy"))) == 2
    monkeypatch.setattr(
        FittedScorer, "predict_rows", lambda f, t, r, *x: computed.append(r[0]) or original(f, t, r, *x)
    )
    continued = predict(fitted, proxy.candidates, RUNTIME, tmp_path / "killed")
    assert computed == [0, 4, 8, 12, 16, 20, 24]
    assert np.array_equal(continued, undisturbed)
    predict(fitted, proxy.candidates, RUNTIME, tmp_path / "killed")
    assert len(computed) == 7


def test_shards_of_another_scorer_and_tokens_of_another_tokenizer_are_refused(fitted, proxy, tmp_path):
    predict(fitted, proxy.candidates, RUNTIME, tmp_path)
    other = replace(fitted, reading=replace(fitted.reading, label_std=6.0))
    with pytest.raises(StoreError, match="another data scorer"):
        predict(other, proxy.candidates, RUNTIME, tmp_path)
    foreign = replace(fitted, reading=replace(fitted.reading, tokenizer="0123"))
    with pytest.raises(ConfigError, match="0123"):
        predict(foreign, proxy.candidates, RUNTIME, tmp_path / "other")


@pytest.mark.slow
def test_any_number_of_processes_gives_the_same_bits(proxy, tmp_path):
    tokens = proxy.candidates
    mp.spawn(run_rank, (tokens.folder, tmp_path), nprocs=3)
    results = [np.load(path) for path in sorted(tmp_path.glob("*-of-*.npy"))]
    assert len(results) == 6
    assert all(np.array_equal(result, results[0]) for result in results)
    alone = [scorer("").predict_rows(tokens, np.array([row]), RUNTIME)[0] for row in range(len(TEXTS))]
    assert results[0] == pytest.approx(alone, abs=1e-4)
    assert len(set(alone)) > 20
