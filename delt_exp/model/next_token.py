"""From a batch to the loss of every token, the two steps that all objectives share.

B samples of a batch, T positions, N of B x T positions with a label, H hidden numbers, V vocabulary.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from delt_exp.corpus.tokens import IGNORED
from delt_exp.model.batch import Batch

NETWORK_INPUTS = ("input_ids", "attention_mask", "position_ids")


def next_token_logits(network: Any, batch: Batch) -> Tensor:
    """Return the logits [B, T, V], or [1, N, V] inside `only_labels`.

    Sequences are padded on the right and attention is causal, so that padding needs no mask. `transformers` makes
    attention block-diagonal by `position_ids` that begin again; `check_isolation` makes sure that it does.
    """
    inputs = {name: batch[name] for name in NETWORK_INPUTS if name in batch}
    logits: Tensor = network(**inputs, use_cache=False).logits
    return logits


@contextmanager
def only_labels(network: Any, labels_BT: Tensor) -> Iterator[None]:
    """Inside, the head of `network` reads the N positions with a label alone, sample after sample.

    Prompts and padding need no prediction, and the head and the loss of a large vocabulary cost more than the layers of
    a small network. All logits are made where every position has a label, or the network has no head that it names. Not
    for compiled networks, inside which hooks do nothing, nor for per-sample gradients, which have to know whose a
    position is.
    """
    index_N, head = (labels_BT != IGNORED).flatten().nonzero()[:, 0], network.get_output_embeddings()
    if head is None or len(index_N) == labels_BT.numel():
        yield
        return

    def select(head: nn.Module, arguments: tuple[Tensor]) -> Tensor:
        (hidden_BTH,) = arguments
        if hidden_BTH.shape[:2] != labels_BT.shape:  # a network that rearranges what it reads
            return hidden_BTH
        return hidden_BTH.flatten(0, 1).index_select(0, index_N)[None]

    selecting = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        selecting.remove()


def label_logits(network: Any, batch: Batch) -> Tensor:
    """Return the logits [N, V] of the positions with a label, sample after sample."""
    labels_BT = batch["labels"]
    with only_labels(network, labels_BT):
        logits = next_token_logits(network, batch)
    return logits.flatten(0, 1) if logits.shape[:2] != labels_BT.shape else logits[labels_BT != IGNORED]


class NextTokenLosses(nn.Module):
    """[B, T] cross-entropy [nats] of each label in at least float32, 0 where it is IGNORED.

    Takes the logits of all positions, or of those with a label: [B, T, V] or [1, N, V].

    A module without parameters, because a module can be watched: the proof of order registers a hook on the one
    instance that all objectives call, and sees logits, labels and how each loss enters the gradient.
    """

    def forward(self, logits: Tensor, labels_BT: Tensor) -> Tensor:
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32)).flatten(0, 1)
        if len(logits) == labels_BT.numel():
            return cross_entropy(logits, labels_BT.flatten(), ignore_index=IGNORED, reduction="none").view_as(labels_BT)
        is_label_BT = labels_BT != IGNORED
        losses_N = cross_entropy(logits, labels_BT[is_label_BT], reduction="none")
        return losses_N.new_zeros(labels_BT.shape).masked_scatter(is_label_BT, losses_N)


next_token_losses = NextTokenLosses()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Dropout off inside; every module's training flag is as before afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
