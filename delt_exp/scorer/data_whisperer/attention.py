"""What the query block of a prompt looks at, in one layer, of a network that computes fused attention everywhere.

Fused attention keeps no map, and making one layer unfused is a trap: with nothing padded it gets no mask and looks
ahead. So the input of the layer is captured, and the rows of the query block alone are computed again from it: |block|
x L numbers for each head, not L x L.

L positions, R rows of the query block, H heads, K key heads, C size of a head, D demonstrations.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from delt_exp.errors import ConfigError

# Networks whose attention is compared with the unfused map by a test. Others scale, norm or turn in other ways.
FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
DEPTH = 0.4  # share of the layers, where none is chosen


class Seen(NamedTuple):
    """The input [B, T, hidden] of a layer's attention and its rotary embedding, cosine and sine [1 or B, T, C]."""

    hidden: Tensor
    cos: Tensor
    sin: Tensor

    def of(self, row: int, length: int) -> "Seen":
        """Return one sequence [1, length, .]."""
        return Seen(*(part[min(row, len(part) - 1) :][:1, :length] for part in self))


def chosen_layer(layer: int | None, config: Any) -> int:
    """Return the layer, counted from 0; raises ConfigError for one that is not there, and for an unknown attention."""
    num_layers = config.num_hidden_layers
    if layer is not None and layer >= num_layers:
        raise ConfigError(
            f"scorer.layer={layer}, but the judge has {num_layers} layers; use one from 0 to {num_layers - 1}, or null"
        )
    if config.model_type not in FAMILIES:
        raise ConfigError(
            f"the attention of a {config.model_type!r} network is not known here (known: {', '.join(FAMILIES)}); use "
            "scorer.weighting=uniform or another judge"
        )
    return round(DEPTH * num_layers) if layer is None else layer


@contextmanager
def captured(network: Any, layer: int) -> Iterator[list[Seen]]:
    """Yield a list that gets what the attention of a layer sees, an entry for each pass inside the block."""
    seen: list[Seen] = []

    def look(module: Any, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        hidden = options["hidden_states"] if "hidden_states" in options else args[0]
        seen.append(Seen(hidden, *options["position_embeddings"]))

    handle = attention_of(network, layer).register_forward_pre_hook(look, with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()


def attention_of(network: Any, layer: int) -> Any:
    """Return the attention module of a layer."""
    return network.base_model.layers[layer].self_attn


def joined_seen(parts: Sequence[Seen]) -> Seen:
    """Return what was seen of consecutive pieces of one sequence as one."""
    return Seen(*(torch.cat(pieces, 1) for pieces in zip(*parts, strict=True)))


def attention_rows(attention: Any, seen: Seen, rows: slice) -> Tensor:
    """Return [H, R, L] the attention of the positions `rows` of a whole sequence [1, L, hidden], causal, in float32."""
    rotate = sys.modules[type(attention).__module__].apply_rotary_pos_emb

    def heads(projection: Any, norm: Any, part: Seen) -> Tensor:
        states = projection(part.hidden).unflatten(-1, (-1, attention.head_dim))
        states = (states if norm is None else norm(states)).transpose(1, 2)
        return rotate(states, states, part.cos, part.sin)[0][0]

    asking = Seen(*(part[:, rows] for part in seen))
    q_HRC = heads(attention.q_proj, getattr(attention, "q_norm", None), asking)
    k_KLC = heads(attention.k_proj, getattr(attention, "k_norm", None), seen)
    k_HLC = k_KLC.repeat_interleave(len(q_HRC) // len(k_KLC), 0)
    logits_HRL = (q_HRC @ k_HLC.mT).float() * attention.scaling
    position_L = torch.arange(seen.hidden.shape[1], device=q_HRC.device)
    position_R1 = position_L[rows, None]
    hidden_RL = position_L > position_R1
    if (window := _window(attention)) is not None:
        hidden_RL |= position_L <= position_R1 - window
    return logits_HRL.masked_fill(hidden_RL, -torch.inf).softmax(-1)


def demonstration_attention(rows_HRL: Tensor, spans: Sequence[slice]) -> Tensor:
    """Return [D] the sum over heads of the mean attention from a row to a token of each demonstration, in float64."""
    rows_RL = rows_HRL.double().sum(0)
    return torch.stack([rows_RL[:, span].mean() for span in spans])


def _window(attention: Any) -> int | None:
    """Return how many positions a sliding window has; None for a layer that looks at all before it."""
    return getattr(attention, "sliding_window", getattr(attention.config, "sliding_window", None))
