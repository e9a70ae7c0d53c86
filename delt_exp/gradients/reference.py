"""Per-sample gradients the slow obvious way: one sample, one backward pass. The kernel is tested against this."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from delt_exp.gradients.flat import flatten, trainable_parameters
from delt_exp.gradients.loss import IGNORED, Batch, LossOf, evaluating


def per_sample_terms_reference(model: nn.Module, batch: Batch, direction: Tensor) -> tuple[Tensor, Tensor]:
    """What `per_sample_terms` returns for one direction, from one full gradient per sample."""
    parameters = list(trainable_parameters(model).values())
    num_samples = batch["labels"].shape[0]
    gradients = [flatten(g).double() for g in sample_gradients(model, batch, num_samples, parameters, _mean_loss)]
    return torch.stack([g @ direction.double() for g in gradients]), torch.stack([g.norm() for g in gradients])


def sample_gradients(
    model: nn.Module, batch: Batch, num_samples: int, parameters: Sequence[nn.Parameter], loss_of: LossOf
) -> Iterator[tuple[Tensor, ...]]:
    """For one sample after the other, the gradients of its loss with respect to `parameters`.

    A sample owns equally many rows of every tensor of the batch, in order.
    """
    with torch.enable_grad(), evaluating(model):
        for n in range(num_samples if parameters else 0):
            sample = {key: value.tensor_split(num_samples)[n] for key, value in batch.items()}
            loss = loss_of(model, sample).sum()
            yield torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)


def _mean_loss(model: nn.Module, sample: Batch) -> Tensor:
    """The mean token loss by torch's own function, on purpose: it shares nothing with what it is to check."""
    labels_1T = sample["labels"]
    inputs = {key: value for key, value in sample.items() if key != "labels"}
    logits_1TV = model(**inputs, use_cache=False).logits
    logits_1TV = logits_1TV.to(torch.promote_types(logits_1TV.dtype, torch.float32))
    total = F.cross_entropy(logits_1TV[0], labels_1T[0], ignore_index=IGNORED, reduction="sum")
    return total / max(1, int((labels_1T != IGNORED).sum()))
