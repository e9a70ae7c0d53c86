"""The last linear layer of a probe, tuned on features that are computed once, and labels drawn from it.

Shapes: N positions (of any documents, without padding), D features, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from delt_exp.alignment.task2vec.filters import Body
from delt_exp.errors import ConfigError

_CHUNK_ELEMENTS = {"cpu": 2**21, "cuda": 2**28}  # of logits at a time: a CPU is 1.2 times slower with more


def split_network(network: Any) -> tuple[Body, nn.Linear]:
    """Return (function from token ids (B, T) to last hidden states (B, T, D), linear head) of a causal LM.

    Raises ConfigError where the logits are anything else than the head of the hidden states.
    """
    head = linear_head(network)

    def body(inputs_BT: Tensor) -> Tensor:
        return network.base_model(input_ids=inputs_BT, use_cache=False).last_hidden_state  # type: ignore[no-any-return]

    ids_1T = torch.arange(2, device=head.weight.device)[None]
    with torch.inference_mode():
        logits_1TV = network(input_ids=ids_1T, use_cache=False).logits
        agree = torch.allclose(head(body(ids_1T)), logits_1TV, rtol=1e-3, atol=1e-4)
    if not agree:
        raise ConfigError(f"{type(network).__name__} changes its logits after the head; use a probe that does not")
    return body, head


def linear_head(network: Any) -> nn.Linear:
    """Return the layer that turns hidden states into logits; raises ConfigError where there is none."""
    head = network.get_output_embeddings() if hasattr(network, "get_output_embeddings") else None
    if not isinstance(head, nn.Linear):
        raise ConfigError(f"the probe {type(network).__name__} has no linear head; use a causal language model")
    return head


@dataclass(frozen=True)
class Tuning:
    """AdamW at a constant rate, `batch_documents` a step, in order."""

    epochs: int
    batch_documents: int
    lr: float
    weight_decay: float


class Head:
    """A copy of a linear head, so that tuning changes neither the network nor a table that shares its weight."""

    def __init__(self, head: nn.Linear) -> None:
        self.weight_VD = head.weight.detach().clone()
        self.bias_V = None if head.bias is None else head.bias.detach().clone()

    def tune(self, features: Sequence[Tensor], labels: Sequence[Tensor], tuning: Tuning) -> None:
        """Minimise the mean cross-entropy of documents: features (N, D) and next tokens (N) of each."""
        parameters = [p for p in (self.weight_VD, self.bias_V) if p is not None]
        for p in parameters:
            p.grad = torch.zeros_like(p)
        optimizer = torch.optim.AdamW(parameters, lr=tuning.lr, eps=1e-8, weight_decay=tuning.weight_decay, fused=True)
        size = tuning.batch_documents
        for start in [*range(0, len(features), size)] * tuning.epochs:
            chosen = slice(start, start + size)
            self._set_gradient(torch.cat([*features[chosen]]), torch.cat([*labels[chosen]]))
            optimizer.step()

    def _set_gradient(self, features_ND: Tensor, labels_N: Tensor) -> None:
        gradients = [p.grad.zero_() for p in (self.weight_VD, self.bias_V) if p is not None and p.grad is not None]
        for chunk in self._chunks(len(labels_N)):
            error_NV = self._probabilities(features_ND[chunk])
            error_NV[torch.arange(len(error_NV), device=error_NV.device), labels_N[chunk]] -= 1
            gradients[0].addmm_(error_NV.t(), features_ND[chunk], alpha=1 / len(labels_N))
            for bias_gradient_V in gradients[1:]:
                bias_gradient_V.add_(error_NV.sum(0), alpha=1 / len(labels_N))

    def scores(self, features_ND: Tensor, uniform_N: Tensor) -> Tensor:
        """Gradients of -log p(y | x) with respect to the features, (N, D), of labels y drawn from p by inversion.

        uniform: a number in [0, 1) for each position. E[result] = 0 given x.
        """
        parts = []
        for chunk in self._chunks(len(uniform_N)):
            p_NV = self._probabilities(features_ND[chunk])
            cumulative_NV = p_NV.cumsum(-1)
            drawn_N1 = torch.searchsorted(cumulative_NV, uniform_N[chunk, None] * cumulative_NV[:, -1:])
            p_NV.scatter_add_(1, drawn_N1, p_NV.new_full(drawn_N1.shape, -1))
            parts.append(p_NV @ self.weight_VD)
        return torch.cat(parts)

    def _probabilities(self, features_ND: Tensor) -> Tensor:
        logits_NV = nn.functional.linear(features_ND, self.weight_VD, self.bias_V)
        return torch.softmax(logits_NV, -1, out=logits_NV)

    def _chunks(self, num_positions: int) -> Iterator[slice]:
        elements = _CHUNK_ELEMENTS.get(self.weight_VD.device.type, 2**21)
        size = max(1, elements // self.weight_VD.shape[0])
        return (slice(start, start + size) for start in range(0, num_positions, size))
