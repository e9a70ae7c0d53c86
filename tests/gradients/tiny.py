"""Tiny language models of several families with random weights, and batches for them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    GemmaConfig,
    GemmaForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

VOCAB = 31
_SIZES = {"vocab_size": VOCAB, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
_SIZES |= {"num_attention_heads": 4, "num_key_value_heads": 2, "bos_token_id": 0, "eos_token_id": 0}


def _gpt2() -> nn.Module:
    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32, "bos_token_id": 0, "eos_token_id": 0}
    return GPT2LMHeadModel(GPT2Config(vocab_size=VOCAB, **sizes))


FAMILIES: dict[str, Callable[[], Any]] = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**_SIZES)),
    "llama tied, padding row": lambda: LlamaForCausalLM(
        LlamaConfig(**_SIZES, tie_word_embeddings=True, pad_token_id=0)
    ),
    "llama with biases": lambda: LlamaForCausalLM(LlamaConfig(**_SIZES, attention_bias=True, mlp_bias=True)),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**_SIZES, sliding_window=3)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**_SIZES, head_dim=8)),
    "gemma": lambda: GemmaForCausalLM(GemmaConfig(**_SIZES, head_dim=8)),
    "gpt2": _gpt2,
}


def tiny_model(family: str, seed: int = 0, dtype: torch.dtype = torch.float64) -> Any:
    """A model whose every parameter, norms and biases too, is away from its initial value; dropout is left on."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = FAMILIES[family]().to(dtype).train()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def draw_batch(lengths: list[int], seed: int = 0) -> dict[str, Tensor]:
    """Random tokens, right-padded; of each sample the labels up to its length count, except some left out at random."""
    generator = torch.Generator().manual_seed(seed)
    shape = len(lengths), max(1, *lengths)
    input_ids_BT, labels_BT = (torch.randint(VOCAB, shape, generator=generator) for _ in range(2))
    input_ids_BT[:, ::3] = 0  # repeated, and the padding row of one family
    is_padding_BT = torch.arange(shape[1])[None] >= torch.tensor(lengths)[:, None]
    is_left_out_BT = torch.rand(shape, generator=generator) < 0.2
    return {"input_ids": input_ids_BT, "labels": labels_BT.masked_fill(is_padding_BT | is_left_out_BT, -100)}


def draw_direction(model: nn.Module, seed: int = 0) -> Tensor:
    """A random flat vector for the trainable parameters."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(sum(p.numel() for p in trainable), generator=generator, dtype=trainable[0].dtype)
