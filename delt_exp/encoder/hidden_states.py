"""Judges that turn documents into the pooled last hidden states of a network.

B documents of a batch, T positions, D features.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import ConfigError
from delt_exp.mapping.judge import TextBatch
from delt_exp.pretrained.limits import position_limit
from delt_exp.pretrained.loading import check_ids, load_base_model, load_causal_lm, load_pretrained
from delt_exp.tokenizer.base import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class EncoderStates:
    """An encoder of `transformers` or sentence-transformers, read with its own tokenizer; pooling: `mean` or `cls`."""

    name: str
    revision: str | None
    pooling: str
    context_tokens: int
    width: int
    dtype: str = "float32"

    def open(self, device: str) -> Callable[[TextBatch], Vectors]:
        from transformers import AutoTokenizer

        network = load_base_model(self.name, self.revision).to(device)
        tokenizer = load_pretrained(AutoTokenizer, self.name, self.revision)
        check_ids(tokenizer, network.get_input_embeddings().weight.shape[0], self.name)

        def hidden(documents: list[str]) -> "tuple[Tensor, Tensor]":
            given: Any = tokenizer(
                documents, padding=True, truncation=True, max_length=self.context_tokens, return_tensors="pt"
            ).to(device)
            hidden_BTD, mask_BT = network(**given).last_hidden_state, given["attention_mask"]
            return (hidden_BTD, mask_BT) if self.pooling == "mean" else (hidden_BTD[:, :1], mask_BT[:, :1])

        return _unit_vectors(hidden)


@dataclass(frozen=True)
class CausalStates:
    """The mean last hidden states of a causal LM, read with the tokenizer in `tokenizer_folder`."""

    name: str
    revision: str | None
    tokenizer_folder: Path
    context_tokens: int
    width: int
    dtype: str = "float32"

    def open(self, device: str) -> Callable[[TextBatch], Vectors]:
        import torch

        tokenizer, body = Tokenizer(self.tokenizer_folder), load_causal_lm(self.name, self.revision).base_model
        body.to(device)

        def hidden(documents: list[str]) -> "tuple[Tensor, Tensor]":
            ids = [i[: self.context_tokens] for i in tokenizer.encode(documents)]
            width = max(map(len, ids))
            padded = [row + [tokenizer.eos_id] * (width - len(row)) for row in ids]
            mask_BT = torch.arange(width)[None] < torch.tensor([len(row) for row in ids])[:, None]
            inputs_BT = torch.tensor(padded, device=device)
            return body(input_ids=inputs_BT, use_cache=False).last_hidden_state, mask_BT.to(device)

        return _unit_vectors(hidden)


def _unit_vectors(hidden: "Callable[[list[str]], tuple[Tensor, Tensor]]") -> Callable[[TextBatch], Vectors]:
    import torch

    def vectors(batch: TextBatch) -> Vectors:
        with torch.inference_mode():
            hidden_BTD, mask_BT = hidden(batch.texts)
            sums_BD = (hidden_BTD * mask_BT[..., None]).sum(1)  # its length divides out
            unit_BD: Vectors = torch.nn.functional.normalize(sums_BD, dim=-1).cpu().numpy()
            return unit_BD

    return vectors


def states_width(config: Any, context_tokens: int, name: str) -> int:
    """Return the features of a hidden state; raises ConfigError for a context longer than the network's."""
    limit = position_limit(config)
    if limit is not None and context_tokens > limit:
        raise ConfigError(
            f"encoder.context_tokens is {context_tokens}, but {name} has {limit} positions; "
            f"use encoder.context_tokens={limit}"
        )
    return int(config.get_text_config().hidden_size)
