"""Rows of attention computed from a layer's input, against the unfused map of the whole network."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from delt_exp.errors import ConfigError
from delt_exp.scorer.data_whisperer.attention import attention_of, attention_rows, captured, chosen_layer, joined_seen

SMALL = {
    "vocab_size": 50, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64, "initializer_range": 0.4,
}  # fmt: skip
MIXED = {"layer_types": ["full_attention", "sliding_attention", "full_attention"], "use_sliding_window": True}
KINDS = [
    ("llama", {}),
    ("llama", {"head_dim": 16}),
    ("mistral", {"sliding_window": None}),
    ("mistral", {"sliding_window": 6}),
    ("qwen2", {}),
    ("qwen3", {}),
    ("qwen3", MIXED | {"sliding_window": 6}),
]


def network_of(kind, changes, attention):
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **(SMALL | changes))
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()


@pytest.mark.parametrize(("kind", "changes"), KINDS)
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_rows_are_those_of_the_unfused_map(kind, changes, layer):
    fused, unfused = (network_of(kind, changes, attention) for attention in ("sdpa", "eager"))
    ids = torch.randint(50, (1, 20), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        with captured(fused, layer) as seen:
            logits = fused(input_ids=ids, use_cache=False).logits
        whole = unfused(input_ids=ids, output_attentions=True, use_cache=False)
        found = attention_rows(attention_of(fused, layer), seen[0], slice(11, 17))
    torch.testing.assert_close(found, whole.attentions[layer][0, :, 11:17], atol=5e-6, rtol=1e-4)
    torch.testing.assert_close(logits, whole.logits, atol=1e-4, rtol=1e-4)  # every layer is causal, the fused too
    with torch.inference_mode():
        fused(input_ids=ids, use_cache=False)
    assert len(seen) == 1  # nothing is captured after the block


@pytest.mark.parametrize(("kind", "changes"), [("llama", {}), ("qwen3", {})])
def test_rows_are_the_same_when_the_beginning_was_read_before(kind, changes):
    network, ids = network_of(kind, changes, "sdpa"), torch.arange(20)[None]
    with torch.inference_mode(), captured(network, 1) as seen:
        network(input_ids=ids, use_cache=False)
        cache = network(input_ids=ids[:, :12], use_cache=True).past_key_values
        network(input_ids=ids[:, 12:], past_key_values=cache)
        attention = attention_of(network, 1)
        whole, pieces = seen[0], joined_seen(seen[1:])
        expected, found = (attention_rows(attention, one, slice(14, 20)) for one in (whole, pieces))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_the_layer_is_at_two_fifths_of_the_depth_unless_it_is_chosen():
    config = AutoConfig.for_model("llama", **SMALL)
    assert [chosen_layer(layer, config) for layer in (None, 0, 2)] == [1, 0, 2]
    config.num_hidden_layers = 30
    assert chosen_layer(None, config) == 12
    with pytest.raises(ConfigError, match=r"scorer\.layer=30, but the judge has 30 layers; use one from 0 to 29"):
        chosen_layer(30, config)


def test_a_network_whose_attention_is_not_known_is_refused():
    with pytest.raises(ConfigError, match=r"'gpt2' network is not known here .* use scorer\.weighting=uniform"):
        chosen_layer(None, AutoConfig.for_model("gpt2"))
