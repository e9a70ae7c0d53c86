"""Tiny trained models for the tests of evaluation."""

from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from delt_exp.model.hf import PretrainedNetwork
from delt_exp.trainer.job import TrainedModel
from tests.helpers import make_byte_tokenizer, make_corpus

VOCAB = 257  # bytes and the end-of-text token


def make_model(tmp_path: Path, context_tokens: int, logit_scale: float = 1.0) -> TrainedModel:
    """Return a random Llama over bytes with 128 positions; `logit_scale` 0 makes its predictions uniform."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.5,  # large enough for predictions that are far from uniform
    )
    model = LlamaForCausalLM(config)
    model.lm_head.weight.data *= logit_scale
    folder = tmp_path / f"trained_{logit_scale}"
    model.save_pretrained(folder / "model")
    tokenizer = make_byte_tokenizer(tmp_path, make_corpus(tmp_path, ["any"]))
    start = PretrainedNetwork(str(folder / "model"), None)  # as if training had changed nothing
    return TrainedModel(folder, f"model with scale {logit_scale}", tokenizer, context_tokens, start, seed=0)
