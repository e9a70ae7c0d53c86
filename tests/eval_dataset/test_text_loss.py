"""Loss on text against known numbers, a plain one-document-at-a-time computation, and the bootstrap."""

import math
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from delt_exp.dataset.base import Document, document_id
from delt_exp.errors import DataError, DivergedError
from delt_exp.eval_dataset.text_loss import TextLoss, text_measures
from delt_exp.statistics.ratio import ratio_stderr
from delt_exp.store.store import Store
from tests.eval_dataset.models import VOCAB, make_model
from tests.helpers import ListDataset, make_resources

CONTEXT = 16
DOCUMENTS = [
    "short",
    Document("completion of a pair", prompt="the prompt: "),
    "a text that is longer than one window of the model, so that it takes several of them",
    "naïve café",  # 12 bytes, 10 characters
]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store", verify="hash")


@pytest.fixture
def trained(tmp_path):
    return make_model(tmp_path, CONTEXT)


def evaluate(trained, store, items=DOCUMENTS):
    measures = (
        TextLoss(ListDataset(items)).evaluate("some texts", trained, make_resources(store, trained.tokenizer)).measures
    )
    assert [m.metric for m in measures] == ["loss", "perplexity", "bits_per_byte"]
    return measures


def slow_losses(trained, items):
    """Sum of -ln p of each text token, one document at a time, window after window."""
    model = AutoModelForCausalLM.from_pretrained(trained.pretrained).double().eval()
    sums, counts = [], []
    for item in items:
        document = Document(item) if isinstance(item, str) else item
        prompt, text = trained.tokenizer.encode([document.prompt, document.text])
        ids = [trained.tokenizer.eos_id, *prompt, *text]
        losses = []
        for start in range(0, len(ids) - 1, CONTEXT):
            window = ids[start : start + CONTEXT + 1]
            with torch.no_grad():
                log_probs = model(torch.tensor([window[:-1]])).logits[0].log_softmax(-1)
            losses += [-log_probs[t, token].item() for t, token in enumerate(window[1:])]
        sums.append(sum(losses[len(prompt) :]))
        counts.append(len(text))
    return np.array(sums), np.array(counts)


def test_the_loss_is_that_of_one_document_after_the_other(trained, store):
    sums, counts = slow_losses(trained, DOCUMENTS)
    loss, perplexity, bits = evaluate(trained, store)
    assert loss.value == pytest.approx(sums.sum() / counts.sum(), rel=1e-5)
    assert perplexity.value == pytest.approx(math.exp(sums.sum() / counts.sum()), rel=1e-4)
    num_bytes = 5 + 20 + len(DOCUMENTS[2]) + 12  # of the texts, without the prompt
    assert bits.value == pytest.approx(sums.sum() / math.log(2) / num_bytes, rel=1e-5)
    assert {(m.dataset, m.count, m.num_tokens, m.num_bytes) for m in (loss, perplexity, bits)} == {
        ("some texts", 4, counts.sum(), num_bytes)
    }


def test_the_store_keeps_the_loss_of_every_document(trained, store):
    evaluate(trained, store)
    table = pq.read_table(store.uses[-1].path / "documents.parquet").to_pydict()
    sums, counts = slow_losses(trained, DOCUMENTS)
    np.testing.assert_allclose(table["sum_nats"], sums, rtol=1e-5)
    assert table["num_tokens"] == counts.tolist()
    assert table["num_bytes"] == [5, 20, len(DOCUMENTS[2]), 12]
    assert table["id"] == [document_id(Document(d) if isinstance(d, str) else d) for d in DOCUMENTS]


def test_a_uniform_model_needs_the_logarithm_of_the_vocabulary_for_every_token(store, tmp_path):
    loss, perplexity, bits = evaluate(make_model(tmp_path, CONTEXT, logit_scale=0.0), store)
    assert loss.value == pytest.approx(math.log(VOCAB))
    assert perplexity.value == pytest.approx(VOCAB)
    assert bits.value == pytest.approx(math.log2(VOCAB))  # one token is one byte here
    assert loss.stderr == pytest.approx(0, abs=1e-6)


def test_a_finished_evaluation_is_reused_and_another_model_is_measured_anew(trained, store, tmp_path):
    first, again = evaluate(trained, store), evaluate(trained, store)
    assert first == again
    assert store.uses[-1].cached
    other = make_model(tmp_path, CONTEXT, logit_scale=0.5)
    assert evaluate(other, store)[0].value != first[0].value
    shorter = replace(trained, context_tokens=CONTEXT // 2)
    assert evaluate(shorter, store)[0].value != first[0].value


def test_the_same_result_is_reused_under_another_name(trained, store):
    evaluate(trained, store)
    resources = make_resources(store, trained.tokenizer)
    renamed = TextLoss(ListDataset(DOCUMENTS)).evaluate("another name", trained, resources).measures
    assert store.uses[-1].cached
    assert {m.dataset for m in renamed} == {"another name"}


def test_prepare_returns_the_ids_of_all_documents_copies_included(trained, store):
    ids = TextLoss(ListDataset(["a", "b", "a"])).prepare(make_resources(store, trained.tokenizer))
    assert ids.tolist() == [document_id(Document(text)) for text in ("a", "b", "a")]


@pytest.mark.parametrize(
    ("logit_scale", "error", "message"),
    [
        (1e38, DivergedError, "loss on some texts is"),
        (math.nan, DataError, r"lm_head.weight are not finite"),
    ],
)
def test_a_diverged_model_is_reported_and_nothing_is_stored(store, tmp_path, logit_scale, error, message):
    diverged = make_model(tmp_path, CONTEXT, logit_scale=logit_scale)
    with pytest.raises(error, match=message):
        evaluate(diverged, store)
    assert [f for f in (store.root / "evaluation").iterdir() if f.is_dir()] == []


def test_the_measures_of_two_documents_by_hand():
    # L = 9/3 = 3; residuals 2 - 3*1 = -1 and 7 - 3*2 = 1; se^2 = 2/1 * (1 + 1) / 3^2 = 4/9.
    loss, perplexity, bits = text_measures(np.array([2.0, 7.0]), np.array([1, 2]), np.array([3, 6]))
    assert (loss.value, loss.stderr) == (3.0, pytest.approx(2 / 3))
    assert (perplexity.value, perplexity.stderr) == (pytest.approx(math.e**3), pytest.approx(math.e**3 * 2 / 3))
    # Bytes are three times the tokens: a third of the loss, in bits.
    assert (bits.value, bits.stderr) == (pytest.approx(1 / math.log(2)), pytest.approx(2 / 9 / math.log(2)))
    assert {(m.count, m.num_tokens, m.num_bytes, m.better) for m in (loss, perplexity, bits)} == {(2, 3, 9, "lower")}


def test_one_document_has_no_standard_error():
    assert {m.stderr for m in text_measures(np.array([2.0]), np.array([4]), np.array([5]))} == {None}


def test_the_standard_error_agrees_with_the_bootstrap():
    rng = np.random.default_rng(0)
    tokens = rng.integers(10, 200, 400)
    nats = tokens * rng.normal(3.0, 0.5, 400) + rng.normal(0, 5, 400)
    draws = rng.integers(0, 400, (4000, 400))
    bootstrap = (nats[draws].sum(1) / tokens[draws].sum(1)).std()
    assert ratio_stderr(nats, tokens) == pytest.approx(bootstrap, rel=0.05)


@given(st.lists(st.floats(0, 100), min_size=2, max_size=20), st.integers(1, 50))
def test_equal_lengths_give_the_standard_error_of_a_mean(nats, length):
    expected = np.std(np.array(nats) / length, ddof=1) / math.sqrt(len(nats))
    assert ratio_stderr(np.array(nats), np.full(len(nats), length)) == pytest.approx(expected, abs=1e-9)
