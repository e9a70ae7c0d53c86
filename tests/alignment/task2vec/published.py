"""The embedding as the published code computes it, apart from its dropout: a reference for what ours does otherwise.

Repeated on purpose: labels drawn at position t are scored at position t - 1; padding is predicted like text, and drawn
end-of-text tokens are left out; tuning the head changes the token table it is tied to; gradients are those of the mean
loss of a batch; filters of GPT-2's layers lie along their inputs. Shapes: B sequences, T positions, V vocabulary.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from delt_exp.alignment.task2vec.filters import Filters, filters_of
from delt_exp.alignment.task2vec.fisher import FisherSettings, Passage, requiring_only
from delt_exp.alignment.task2vec.head import split_network


def published_filters(network: Any, head: Any) -> list[Filters]:
    """Return the filters of all weights, lookup tables included, along the first axis of each."""
    return [replace(f, axis=0) for f in filters_of(network, head, embeddings=True)]


def published_cosine(h0: NDArray[np.float64], h1: NDArray[np.float64]) -> float:
    """Return the scaled cosine with the absolute epsilon of the published code."""
    total = h0 + h1 + 1e-8
    s0, s1 = h0 / total, h1 / total
    return float(s0 @ s1 / np.sqrt((s0 @ s0) * (s1 @ s1)))


def published_embedding(
    network: Any, passages: Sequence[Passage], ends: tuple[int, int], settings: FisherSettings
) -> NDArray[np.float32]:
    """Return the embedding of a batch, [filters] float32; `network` stays as it is. Lookup tables always count."""
    _, eos_id = ends  # the published code puts nothing before a document
    probe = copy.deepcopy(network)
    _, head = split_network(probe)
    size, device = settings.tuning.batch_documents, head.weight.device
    parts = [passages[start : start + size] for start in range(0, len(passages), size)]
    batches = [_padded(part, eos_id, settings.context_tokens, device) for part in parts]
    _tune(probe, [*head.parameters()], batches, eos_id, settings)
    filters = published_filters(probe, head)
    weights = [f.weight for f in filters]
    squares = [torch.zeros_like(w) for w in weights]
    with requiring_only(probe, weights):
        for inputs, uniform_BT in batches:
            logits_BTV = probe(**inputs, use_cache=False).logits
            cumulative_BTV = logits_BTV.detach().softmax(-1).cumsum(-1)
            drawn_BT = torch.searchsorted(cumulative_BTV, (uniform_BT * cumulative_BTV[..., -1])[..., None])[..., 0]
            gradients = torch.autograd.grad(_loss(logits_BTV, drawn_BT, eos_id), weights)
            for total, gradient in zip(squares, gradients, strict=True):
                total += gradient.square() / len(batches)
    return torch.cat([f.means(s) for f, s in zip(filters, squares, strict=True)]).cpu().numpy()


def _tune(
    probe: Any, parameters: list[Tensor], batches: Sequence[tuple[dict[str, Tensor], Tensor]], eos_id: int,
    settings: FisherSettings,
) -> None:  # fmt: skip
    tuning = settings.tuning
    optimizer = torch.optim.AdamW(parameters, lr=tuning.lr, eps=1e-8, weight_decay=tuning.weight_decay)
    with requiring_only(probe, parameters):
        for inputs, _ in [*batches] * tuning.epochs:
            optimizer.zero_grad()
            _loss(probe(**inputs, use_cache=False).logits, inputs["input_ids"], eos_id).backward()  # type: ignore[no-untyped-call]
            optimizer.step()


def _loss(logits_BTV: Tensor, labels_BT: Tensor, eos_id: int) -> Tensor:
    """Mean cross-entropy of the labels after the first, each under the logits one position before it."""
    return F.cross_entropy(logits_BTV[:, :-1].flatten(0, 1), labels_BT[:, 1:].flatten(), ignore_index=eos_id)


def _padded(
    passages: Sequence[Passage], eos_id: int, context_tokens: int, device: torch.device
) -> tuple[dict[str, Tensor], Tensor]:
    ids_BT = torch.full((len(passages), context_tokens), eos_id)
    lengths_B = torch.tensor([min(len(p.ids), context_tokens) for p in passages])
    for row, passage in enumerate(passages):
        ids_BT[row, : lengths_B[row]] = torch.from_numpy(passage.ids[:context_tokens])
    mask_BT = (torch.arange(context_tokens)[None] < lengths_B[:, None]).long()
    uniform_BT = torch.from_numpy(np.stack([p.uniform for p in passages]))
    return {"input_ids": ids_BT.to(device), "attention_mask": mask_BT.to(device)}, uniform_BT.to(device)
