"""Per-sample gradients the slow obvious way: one sample, one backward pass. The kernel is tested against this."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from delt_exp.corpus.tokens import IGNORED
from delt_exp.gradients.flat import flatten, trainable_parameters
from delt_exp.model.batch import Batch
from delt_exp.model.next_token import evaluating

LossOf = Callable[[Batch], Tensor]
"""The loss of a batch of one sample."""


def per_sample_terms_reference(model: nn.Module, batch: Batch, direction: Tensor) -> tuple[Tensor, Tensor]:
    """What `per_sample_terms` returns for cross-entropy and one direction, from one full gradient per sample."""
    parameters = list(trainable_parameters(model).values())
    of_samples = sample_gradients(model, batch, batch["labels"].shape[0], partial(_loss, model), parameters)
    gradients = [flatten(g).double() for g in of_samples]
    return torch.stack([g @ direction.double() for g in gradients]), torch.stack([g.norm() for g in gradients])


def sample_gradients(
    model: nn.Module, batch: Batch, num_samples: int, loss_of: LossOf, parameters: Sequence[nn.Parameter]
) -> Iterator[tuple[Tensor, ...]]:
    """For one sample after the other, the gradients of its loss with respect to `parameters`, dropout off.

    A sample owns equally many rows of every tensor of the batch, in order.
    """
    with torch.enable_grad(), evaluating(model):
        for n in range(num_samples if parameters else 0):
            loss = loss_of({key: value.tensor_split(num_samples)[n] for key, value in batch.items()})
            yield torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)


def _loss(model: nn.Module, sample: Batch) -> Tensor:
    labels_1T = sample["labels"]
    inputs = {key: value for key, value in sample.items() if key != "labels"}
    logits_1TV = model(**inputs, use_cache=False).logits
    logits_1TV = logits_1TV.to(torch.promote_types(logits_1TV.dtype, torch.float32))
    total = F.cross_entropy(logits_1TV[0], labels_1T[0], ignore_index=IGNORED, reduction="sum")
    return total / max(1, int((labels_1T != IGNORED).sum()))
