"""From a batch to the loss of every token, the two steps that all objectives share.

B samples of a batch, T positions, V vocabulary.
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
    """Return the logits [B, T, V].

    Sequences are padded on the right and attention is causal, so that padding needs no mask. `transformers` makes
    attention block-diagonal by `position_ids` that begin again; `check_isolation` makes sure that it does.
    """
    inputs = {name: batch[name] for name in NETWORK_INPUTS if name in batch}
    logits_BTV: Tensor = network(**inputs, use_cache=False).logits
    return logits_BTV


class NextTokenLosses(nn.Module):
    """[B, T] cross-entropy [nats] of each label in at least float32, 0 where it is IGNORED.

    A module without parameters, because a module can be watched: the proof of order registers a hook on the one
    instance that all objectives call, and sees logits, labels and how each loss enters the gradient.
    """

    def forward(self, logits_BTV: Tensor, labels_BT: Tensor) -> Tensor:
        logits_BTV = logits_BTV.to(torch.promote_types(logits_BTV.dtype, torch.float32))
        logits_NV, labels_N = logits_BTV.flatten(0, 1), labels_BT.flatten()
        return cross_entropy(logits_NV, labels_N, ignore_index=IGNORED, reduction="none").view(labels_BT.shape)


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
