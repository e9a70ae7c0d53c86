"""A small chat model with random weights, whose tokenizer spells yes and no in one token."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from delt_exp.tokenizer.bpe import BpeTokenizer

CHAT = (
    "{% for m in messages %}<|endoftext|>{{ m.role }}\n{{ m.content }}<|endoftext|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|endoftext|>assistant\n{% endif %}"
)
MANY = ["yes no", "Yes No", " yes", " no", "the text is one"] * 50


def save_judge(folder: Path, *, template: str | None = CHAT, texts: Any = MANY, positions: int = 2048) -> Path:
    """Write model and tokenizer to a folder, and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    BpeTokenizer(vocab_size=300, train_bytes=None, dataset=None).make(texts, folder)
    pretrained = AutoTokenizer.from_pretrained(folder)
    pretrained.chat_template = template
    pretrained.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(pretrained), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=positions, initializer_range=0.5, tie_word_embeddings=False,
        bos_token_id=pretrained.bos_token_id, eos_token_id=pretrained.eos_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).eval().save_pretrained(folder)
    return folder
