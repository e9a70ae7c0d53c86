"""Pretrained probes, from a folder."""

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, Gemma2Config, Gemma2ForCausalLM

from delt_exp.alignment.table import coefficients
from delt_exp.config.identity import identity
from delt_exp.errors import ConfigError, DependencyError
from delt_exp.proxy.pretrained import PretrainedProxy
from tests.alignment.tiny import make_resources, make_text, sentences, task2vec, tiny_probe


def saved_probe(folder, resources):
    """Write the tiny probe as anyone would save a model."""
    probe = tiny_probe().prepare(resources)
    probe.network.save_pretrained(folder)
    probe.tokenizer.pretrained().save_pretrained(folder)
    return probe


@pytest.mark.slow
def test_a_folder_gives_the_model_with_its_own_tokenizer(tmp_path):
    resources = make_resources(tmp_path)
    original = saved_probe(tmp_path / "gpt", resources)
    probe = PretrainedProxy(str(tmp_path / "gpt"), None, None, None).prepare(resources)
    assert probe.tokenizer.encode(["fold"]) == original.tokenizer.encode(["fold"])
    assert probe.position_limit == 64
    pairs = zip(probe.network.parameters(), original.network.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.slow
def test_it_embeds_texts_as_the_trained_one_does(tmp_path):
    resources = make_resources(tmp_path)
    saved_probe(tmp_path / "gpt", resources)
    texts = {"a": make_text(tmp_path, sentences(8, seed=1)), "b": make_text(tmp_path, sentences(8, seed=2))}
    folder = PretrainedProxy(str(tmp_path / "gpt"), None, None, None)
    values = [
        [row.value for row in coefficients(task2vec(probe=probe), texts, texts, resources)]
        for probe in (tiny_probe(), folder)
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-6)


@pytest.mark.slow
def test_the_content_of_the_folder_counts_and_not_its_path(tmp_path):
    resources = make_resources(tmp_path)
    saved_probe(tmp_path / "gpt", resources)
    before = identity(PretrainedProxy(str(tmp_path / "gpt"), None, None, None))
    (tmp_path / "gpt").rename(tmp_path / "moved")
    assert identity(PretrainedProxy(str(tmp_path / "moved"), None, None, None)) == before
    (tmp_path / "moved" / "config.json").write_text("{}")
    assert identity(PretrainedProxy(str(tmp_path / "moved"), None, None, None)) != before
    elsewhere = identity(PretrainedProxy("gpt2", None, None, None))
    assert (elsewhere["name"], elsewhere["content"]) == ("gpt2", "gpt2@None")


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DependencyError, match="cannot load"):
        PretrainedProxy(str(tmp_path / "nowhere"), None, None, None).prepare(make_resources(tmp_path))


@pytest.mark.slow
def test_an_encoder_is_no_probe(tmp_path):
    resources = make_resources(tmp_path)
    probe = tiny_probe().prepare(resources)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    BertForMaskedLM(BertConfig(vocab_size=257, **sizes)).save_pretrained(tmp_path / "bert")
    probe.tokenizer.pretrained().save_pretrained(tmp_path / "bert")
    metric = task2vec(probe=PretrainedProxy(str(tmp_path / "bert"), None, None, None))
    texts = {"a": make_text(tmp_path, sentences(8))}
    with pytest.raises(ConfigError, match="tokens see those after them"):
        coefficients(metric, texts, texts, resources)


@pytest.mark.slow
def test_a_network_that_caps_its_logits_is_no_probe_for_task2vec(tmp_path):
    resources = make_resources(tmp_path)
    probe = tiny_probe().prepare(resources)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = Gemma2Config(vocab_size=257, head_dim=8, num_key_value_heads=2, final_logit_softcapping=3.0, **sizes)
    network = Gemma2ForCausalLM(config)
    torch.nn.init.normal_(network.model.embed_tokens.weight)
    network.save_pretrained(tmp_path / "gemma")
    probe.tokenizer.pretrained().save_pretrained(tmp_path / "gemma")
    metric = task2vec(probe=PretrainedProxy(str(tmp_path / "gemma"), None, None, None))
    texts = {"a": make_text(tmp_path, sentences(8))}
    with pytest.raises(ConfigError, match="changes its logits after the head"):
        coefficients(metric, texts, texts, resources)
