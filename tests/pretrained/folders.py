"""Tiny pretrained folders with random weights, and what happens to such folders."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "pad_token_id": 0,
}
GROUPED = {"head_dim": 8, "num_key_value_heads": 2}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 8}
SOUND = {
    "llama": {},
    "gpt2": {},
    "gpt_neox": {},
    "opt": {"ffn_dim": 24, "word_embed_proj_dim": 16},
    "bloom": {},
    "phi3": {},
    "mamba": {"state_size": 4},
    "qwen3_moe": GROUPED | EXPERTS,
    "gemma3_text": GROUPED,
    "bart": {"d_model": 16, "decoder_layers": 2, "decoder_attention_heads": 2, "decoder_ffn_dim": 24},
}


def make_network(kind, **settings):
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**SIZES, **SOUND.get(kind, {}), **settings})
    return AutoModelForCausalLM.from_config(config).eval()


def saved(folder: Path, kind="llama", **settings):
    """Save a network of this kind and return it."""
    network = make_network(kind, **settings)
    network.save_pretrained(folder)
    return network


def rewrite(folder: Path, change):
    """Replace the weights {name: tensor} of a folder by `change` of them."""
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})


def renamed(rename):
    """Return the change of weights that gives them other names."""
    return lambda weights: {rename(name): value.contiguous() for name, value in weights.items()}


def as_bin(folder: Path, weights):
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")


def set_config(folder: Path, **settings):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
