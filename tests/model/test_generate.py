"""What a model writes and which words it expects: against one prompt at a time without a cache, and by hand."""

import math

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, GenerationConfig, GPT2Config, LlamaConfig, LlamaForCausalLM

from delt_exp.errors import ConfigError
from delt_exp.model.generate import generate, next_token_log_probs, single_token
from delt_exp.model.shared_prefix import common_prefix
from tests.helpers import make_byte_tokenizer, make_corpus

SIZES = {"vocab_size": 257, "bos_token_id": 256, "eos_token_id": 256}
CONFIGS = {
    "llama": LlamaConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=128,
        initializer_range=0.5, **SIZES,
    ),
    "gpt2": GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=128, initializer_range=0.5, **SIZES),
}  # fmt: skip
PROMPTS = ["fold", "a longer prompt about sorting", "", "x", "fo", "the same length as another", "«12 €»"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bytes")
    return make_byte_tokenizer(folder, make_corpus(folder, ["any"]))


@pytest.fixture(scope="module", params=CONFIGS)
def network(request):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(CONFIGS[request.param]).eval()


@pytest.fixture(scope="module")
def alphabet():
    """A Llama in which every byte is followed by the next one: its layer adds nothing, and its head is a shift."""
    config = LlamaConfig(
        hidden_size=258, intermediate_size=2, num_hidden_layers=1, num_attention_heads=1, max_position_embeddings=64,
        tie_word_embeddings=False, **SIZES,
    )  # fmt: skip
    network = LlamaForCausalLM(config).eval()
    layer = network.model.layers[0]
    for weight in (layer.self_attn.o_proj.weight, layer.mlp.down_proj.weight):
        torch.nn.init.zeros_(weight)
    with torch.no_grad():
        network.model.embed_tokens.weight.copy_(torch.eye(257, 258))
        network.lm_head.weight.copy_(torch.eye(257, 258).roll(1, 0))
    return network


def logits_after(network, ids):
    with torch.no_grad():
        return network(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].double()


def read(tokenizer, prompt):
    return [tokenizer.begin_id, *tokenizer.encode([prompt])[0]]


def one_at_a_time(network, tokenizer, prompt, count, noise=None):
    ids = read(tokenizer, prompt)
    begin = len(ids)
    while len(ids) < begin + count and tokenizer.eos_id not in ids[begin:]:
        logits = logits_after(network, ids)
        ids.append(int((logits if noise is None else logits + torch.from_numpy(noise.gumbel(size=257))).argmax()))
    return tokenizer.decode([i for i in ids[begin:] if i != tokenizer.eos_id])


@pytest.mark.parametrize("batch_tokens", [1, 60, 10_000])
def test_greedy_text_is_that_of_one_prompt_at_a_time_whatever_the_batches(network, tokenizer, batch_tokens):
    found = generate(network, tokenizer, PROMPTS, max_new_tokens=8, batch_tokens=batch_tokens)
    assert found == [one_at_a_time(network, tokenizer, prompt, 8) for prompt in PROMPTS]


def test_drawn_text_depends_on_seed_and_place_and_not_on_batches(network, tokenizer):
    from delt_exp.rows.draws import generator

    def draw(batch_tokens, seed=0):
        return generate(
            network, tokenizer, PROMPTS, max_new_tokens=6, temperature=1.0, seed=seed, batch_tokens=batch_tokens
        )

    found = draw(10_000)
    assert found == draw(1) != draw(1, seed=1)
    noise = [generator(0, "generated tokens", index) for index in range(len(PROMPTS))]
    assert found == [one_at_a_time(network, tokenizer, p, 6, n) for p, n in zip(PROMPTS, noise, strict=True)]


def test_draws_have_the_probabilities_of_the_model(network, tokenizer):
    prompts, probabilities = ["fold"] * 4000, logits_after(network, read(tokenizer, "fold")).softmax(-1).numpy()
    first = [text.encode() for text in generate(
        network, tokenizer, prompts, max_new_tokens=1, temperature=1.0, batch_tokens=100_000
    )]  # fmt: skip
    likely = int(probabilities[:128].argmax())
    share, expected = np.mean([text == bytes([likely]) for text in first]), probabilities[_id_of(tokenizer, likely)]
    assert share == pytest.approx(expected, abs=4 * math.sqrt(0.25 / 4000))


def _id_of(tokenizer, byte):
    return tokenizer.encode([chr(byte)])[0][0]


def test_a_model_of_the_alphabet_goes_on_until_the_stop(alphabet, tokenizer):
    ids = {byte: _id_of(tokenizer, byte) for byte in b"abcdefgh"}
    assert [ids[b + 1] - ids[b] for b in b"abcdefg"] == [1] * 7
    assert generate(alphabet, tokenizer, ["a", "cd"], max_new_tokens=3) == ["bcd", "efg"]
    assert generate(alphabet, tokenizer, ["a", "cd", "f"], max_new_tokens=6, stop=["e", "gh"]) == ["bcd", "", ""]


def test_the_end_token_ends_a_text_and_is_no_part_of_it(alphabet, tokenizer):
    assert tokenizer.eos_id == 256
    assert generate(alphabet, tokenizer, [[255], [254]], max_new_tokens=5) == ["", tokenizer.decode([255])]


def test_settings_of_a_checkpoint_do_not_decide_and_are_left_as_they_were(network, tokenizer):
    expected = generate(network, tokenizer, PROMPTS[:2], max_new_tokens=5)
    before, own = network.generation_config, GenerationConfig(do_sample=True, top_k=3, repetition_penalty=9.0)
    network.generation_config = own
    try:
        assert generate(network, tokenizer, PROMPTS[:2], max_new_tokens=5) == expected
        assert network.generation_config is own
    finally:
        network.generation_config = before


@pytest.mark.parametrize("batch_tokens", [1, 64, 10_000])
@pytest.mark.parametrize("prefix", ["", "They all begin like this: "])
def test_the_probability_of_a_word_is_that_of_one_prompt_at_a_time(network, tokenizer, prefix, batch_tokens):
    prompts = [prefix + prompt for prompt in PROMPTS]
    found = next_token_log_probs(network, tokenizer, prompts, ["y", "n", " "], batch_tokens)
    words = [single_token(tokenizer, word) for word in ("y", "n", " ")]
    expected = torch.stack([logits_after(network, read(tokenizer, p)).log_softmax(-1)[words] for p in prompts])
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)


def test_what_prompts_begin_with_is_read_once(network, tokenizer):
    prompts = [read(tokenizer, "the same beginning, " + end) for end in ("then", "this", "that")]
    prefix = common_prefix(prompts)
    assert tokenizer.decode(prefix[1:]) == "the same beginning, th"
    lengths = []
    handle = network.register_forward_pre_hook(
        lambda module, args, kwargs: lengths.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    next_token_log_probs(network, tokenizer, prompts, ["y"])
    handle.remove()
    assert lengths == [(1, len(prefix)), (3, 2)]


def test_ids_are_read_as_they_stand(network, tokenizer):
    ids = read(tokenizer, "fold")
    as_text, as_ids = (next_token_log_probs(network, tokenizer, [p], ["y"]) for p in ("fold", ids))
    assert torch.equal(as_text, as_ids)
    other = next_token_log_probs(network, tokenizer, [ids[1:]], ["y"])  # no beginning of a document
    assert not torch.equal(as_ids, other)


def test_equal_logits_give_every_word_one_in_the_vocabulary(alphabet, tokenizer):
    with torch.no_grad():
        before = alphabet.lm_head.weight.clone()
        alphabet.lm_head.weight.zero_()
    found = next_token_log_probs(alphabet, tokenizer, ["a", "b"], ["y", "n"])
    with torch.no_grad():
        alphabet.lm_head.weight.copy_(before)
    torch.testing.assert_close(found, torch.full((2, 2), -math.log(257)))


def test_nothing_to_say_is_no_error(network, tokenizer):
    assert generate(network, tokenizer, [], max_new_tokens=1) == []
    assert next_token_log_probs(network, tokenizer, [], ["y"]).shape == (0, 1)


def test_bad_input_is_named(network, tokenizer):
    with pytest.raises(ConfigError, match=r"prompt 1 has 126 tokens and 3 are to be generated(.|\n)*128 positions"):
        generate(network, tokenizer, ["a", "b" * 125], max_new_tokens=3)
    with pytest.raises(ConfigError, match="prompt 0 is empty"):
        generate(network, tokenizer, [[]], max_new_tokens=3)
    with pytest.raises(ConfigError, match=r"'no' is not one token but \['n', 'o'\]"):
        next_token_log_probs(network, tokenizer, ["a"], ["y", "no"])
    with pytest.raises(ConfigError, match="max_new_tokens=0"):
        generate(network, tokenizer, ["a"], max_new_tokens=0)
