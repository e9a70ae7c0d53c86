"""Tiny language models of several families with random weights, and batches for them."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

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

from delt_exp.gradients.flat import trainable_parameters
from delt_exp.gradients.reference import sample_gradients

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


class TokenSums:
    """Summed cross-entropy of a row's labels, and their number: by a code of its own, for the slow side of tests."""

    VERSION: ClassVar[int] = 1

    def losses(self, network: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        inputs = {key: value for key, value in batch.items() if key != "labels"}
        logits = network(**inputs, use_cache=False).logits
        labels = batch["labels"]
        chosen = logits.log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
        return -chosen.where(labels != -100, 0).sum(1)

    def counts(self, batch: Mapping[str, Tensor]) -> Tensor:
        return (batch["labels"] != -100).sum(1)


def gradients_by_name(
    model: nn.Module, batch: Mapping[str, Tensor], num_samples: int, objective: Any = None
) -> list[dict[str, Tensor]]:
    """The gradient of each sample's mean loss, one backward pass each."""
    objective, parameters = objective or TokenSums(), trainable_parameters(model)

    def mean_loss(sample: Mapping[str, Tensor]) -> Tensor:
        return objective.losses(model, sample).sum() / objective.counts(sample).sum().clamp(min=1)

    gradients = sample_gradients(model, batch, num_samples, mean_loss, list(parameters.values()))
    return [dict(zip(parameters, g, strict=True)) for g in gradients]


class HandMadeLora(nn.Module):
    """A frozen layer and its low-rank correction, with both factors away from zero."""

    def __init__(self, base: nn.Linear, rank: int = 2) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_A = nn.Linear(base.in_features, rank, bias=False, dtype=base.weight.dtype)
        self.lora_B = nn.Linear(rank, base.out_features, bias=False, dtype=base.weight.dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + 2 * self.lora_B(self.lora_A(x))


def lora_model(seed: int = 0, dtype: torch.dtype = torch.float64) -> Any:
    """The Llama of `tiny_model`, frozen but for the corrections of its value and output projections."""
    model = tiny_model("llama", seed, dtype).requires_grad_(False)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for layer in model.model.layers:
            layer.self_attn.v_proj = HandMadeLora(layer.self_attn.v_proj)
            layer.self_attn.o_proj = HandMadeLora(layer.self_attn.o_proj)
    return model
