"""What work costs before it is done: passes, floating point operations and memory, estimated from sizes alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.tokenizer.base import Vocabulary

FORWARD = 2  # floating point operations per parameter and token (Kaplan et al. 2020, without attention)
FORWARD_BACKWARD = 6
ADAMW_STATES = 4  # parameters, gradient and two moments


@dataclass(frozen=True, eq=False)
class Sizes:
    """What a forecast knows of the texts of a run.

    lengths_N: tokens of each candidate. num_scored: how many of them are to be scored, None for all. num_target,
    num_target_sources: documents of the target set, and the sources that they come from; 0 without one. vocabulary: of
    the run's tokenizer.
    """

    lengths_N: NDArray[np.int64]
    num_target: int
    num_target_sources: int
    vocabulary: Vocabulary
    num_scored: int | None = None

    @property
    def scored_lengths(self) -> NDArray[np.int64]:
        """[S] tokens of each document to score: of the first ones, which stand for any as many."""
        return self.lengths_N[: self.num_scored]

    def with_documents(self, count: int) -> "Sizes":
        """Return the sizes with this many more documents to read, of the mean length."""
        mean = int(self.lengths_N.mean()) if len(self.lengths_N) else 0
        return replace(self, lengths_N=np.append(self.lengths_N, np.full(count, mean)))

    @property
    def num_tokens(self) -> int:
        return int(self.lengths_N.sum())


@dataclass(frozen=True)
class PhaseCost:
    """One phase of a stage. passes: sequences sent through the network; peak_bytes: of weights and activations."""

    phase: str
    passes: int
    flops: float
    peak_bytes: int


def sketch_bytes(num_samples: int, num_features: int) -> int:
    """Memory of the sketches of gradients at their largest, where sums become float32; scratch is not counted."""
    buckets, spectrum, folded, inverse, result = 2 * 8, 8, 8, 8, 4  # bytes per number: all but the last in double
    return num_samples * num_features * (buckets + spectrum + folded + inverse + result)


@dataclass(frozen=True)
class ModelSize:
    """parameters: shared ones once. activation_bytes_per_token: what a forward pass keeps for its backward pass.

    reading_bytes_per_token: what one without a backward pass holds at a time, which is a layer and the logits.
    """

    parameters: int
    activation_bytes_per_token: int
    reading_bytes_per_token: int

    @property
    def parameter_bytes(self) -> int:
        """Size of a float32 vector as long as the parameters."""
        return 4 * self.parameters


def model_size(config: Any, sample_tokens: int) -> ModelSize:
    """Return the size of the network a `transformers` configuration describes; allocates no weights."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(config)
    return _described(network, config, sample_tokens)


def encoding_cost(config: Any, passes: int, tokens: int, sample_tokens: int, batch_tokens: int) -> PhaseCost:
    """Return what reading `tokens` costs for the hidden states of the encoder that a configuration describes.

    Token vectors are looked up without arithmetic: their table, half of a small encoder, counts as memory alone.
    """
    import torch
    from transformers import AutoModel

    with torch.device("meta"):
        network = AutoModel.from_config(config)
    size = _described(network, config, sample_tokens)
    multiplied = size.parameters - network.get_input_embeddings().weight.numel()
    read = forward_cost("encoding", size, passes, tokens, batch_tokens)
    return replace(read, flops=float(FORWARD) * multiplied * tokens)


def _described(network: Any, config: Any, sample_tokens: int) -> ModelSize:
    vocab, hidden = network.get_input_embeddings().weight.shape
    text = config.get_text_config()
    inner = _size(text, "intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size") or 4 * hidden
    layers, heads = _size(text, "num_hidden_layers", "n_layers"), _size(text, "num_attention_heads", "n_heads")
    parameters = sum(parameter.numel() for parameter in network.parameters())
    kept, held = (activation_bytes_per_token(hidden, inner, n, heads, vocab, sample_tokens) for n in (layers, 1))
    return ModelSize(parameters, kept, held)


def _size(config: Any, *names: str) -> int:
    """Return the first of these settings that a configuration has, as one number; 0 for what the network lacks."""
    for name in names:
        value = getattr(config, name, None)
        if isinstance(value, list | tuple):  # one for each layer
            value = max(value, default=0)
        if isinstance(value, int):
            return value
    return 0


def activation_bytes_per_token(
    hidden: int, intermediate: int, layers: int, heads: int, vocab: int, sample_tokens: int
) -> int:
    """About what a Llama-like model with unfused attention keeps per token: 16 d + 4 d_ff + 2 heads T a layer, 3 V."""
    per_layer = 16 * hidden + 4 * intermediate + 2 * heads * sample_tokens
    return (layers * per_layer + 3 * vocab) * 4


def training_cost(phase: str, size: ModelSize, tokens: int, sequence_tokens: int, batch_tokens: int) -> PhaseCost:
    """Return what training on `tokens` costs with AdamW, `batch_tokens` of them in one pass."""
    held = ADAMW_STATES * size.parameter_bytes + batch_tokens * size.activation_bytes_per_token
    return PhaseCost(phase, -(-tokens // sequence_tokens), float(FORWARD_BACKWARD) * size.parameters * tokens, held)


def forward_cost(phase: str, size: ModelSize, passes: int, tokens: int, batch_tokens: int) -> PhaseCost:
    """Return what reading `tokens` without gradients costs."""
    held = size.parameter_bytes + batch_tokens * size.reading_bytes_per_token
    return PhaseCost(phase, passes, float(FORWARD) * size.parameters * tokens, held)


def total(costs: Sequence[PhaseCost]) -> PhaseCost:
    """Return the sum of the work and the largest of the memories."""
    peak_bytes = max((cost.peak_bytes for cost in costs), default=0)
    return PhaseCost("total", sum(cost.passes for cost in costs), sum(cost.flops for cost in costs), peak_bytes)
