"""Per-sample mean token loss of causal language models, twice differentiable at little cost.

Shapes: B samples, T positions, V vocabulary.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Batch = Mapping[str, Tensor]
"""`input_ids` (B, T); `labels` (B, T), where labels[:, t] is the token to predict at position t and IGNORED leaves the
position out (already shifted, unlike the `labels` argument of transformers); optional `attention_mask` (B, T)."""

LossOf = Callable[[nn.Module, Batch], Tensor]
"""From a model and a batch to one loss per sample, (B,)."""

IGNORED = -100


class Objective(Protocol):
    """What is minimised, as one object. Samples may own several rows of the batch, in order and equally many each."""

    VERSION: ClassVar[int]

    def losses(self, network: nn.Module, batch: Batch) -> Tensor:
        """Summed loss of each sample in nats, (B,)."""

    def counts(self, batch: Batch) -> Tensor:
        """What the mean of each sample divides by, (B,)."""


def mean_loss_of(objective: Objective, autocast_dtype: torch.dtype | None = None) -> LossOf:
    """Mean losses by an objective; a sample that counts nothing has loss 0. The forward pass runs in that type."""

    def mean_losses(model: nn.Module, batch: Batch) -> Tensor:
        with autocasting(batch["labels"].device, autocast_dtype):
            losses_B = objective.losses(model, batch)
        counts_B = objective.counts(batch)
        return losses_B / counts_B.masked_fill(counts_B == 0, 1)

    return mean_losses


def sample_losses(model: nn.Module, batch: Batch, autocast_dtype: torch.dtype | None = None) -> Tensor:
    """Mean token cross-entropy of each sample over its own valid labels, in nats, shape (B,), at least float32.

    A sample without a valid label has loss 0 and gradient 0. With `autocast_dtype` the forward pass runs in that type.
    """
    labels_BT = batch["labels"]
    inputs = {key: value for key, value in batch.items() if key != "labels"}
    with autocasting(labels_BT.device, autocast_dtype):
        logits_BTV = model(**inputs, use_cache=False).logits
    logits_BTV = logits_BTV.to(torch.promote_types(logits_BTV.dtype, torch.float32))
    valid_BT = labels_BT != IGNORED
    weight_BT = valid_BT.to(logits_BTV.dtype) / valid_BT.sum(1, keepdim=True).clamp(min=1)
    token_losses_BT = _TokenLoss.apply(logits_BTV, labels_BT.where(valid_BT, 0), weight_BT)
    return token_losses_BT.sum(1)


def autocasting(device: torch.device, dtype: torch.dtype | None) -> torch.autocast:
    """Context in which matrix products run in `dtype`, or as they are for None, whatever holds outside.

    Casts are not cached: two uses of a weight would share one graph node, which hides uses from the kernel.
    """
    return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None, cache_enabled=False)


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


class _TokenLoss(torch.autograd.Function):
    """weight * (logsumexp(z) - z[label]); autograd's own second derivative of it is several times slower."""

    @staticmethod
    def forward(ctx: Any, z_BTV: Tensor, labels_BT: Tensor, weight_BT: Tensor) -> Tensor:
        logsumexp_BT = torch.logsumexp(z_BTV, -1)
        ctx.save_for_backward(z_BTV, labels_BT, weight_BT, logsumexp_BT)
        return (logsumexp_BT - z_BTV.gather(-1, labels_BT[..., None])[..., 0]) * weight_BT

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        z_BTV, labels_BT, weight_BT, logsumexp_BT = ctx.saved_tensors
        return _TokenLossGradient.apply(z_BTV, grad_outputs[0] * weight_BT, labels_BT, logsumexp_BT), None, None


class _TokenLossGradient(torch.autograd.Function):
    """scale * (softmax(z) - onehot(label)), with the Hessian of the loss as its derivative."""

    @staticmethod
    def forward(ctx: Any, z_BTV: Tensor, scale_BT: Tensor, labels_BT: Tensor, logsumexp_BT: Tensor) -> Tensor:
        ctx.save_for_backward(z_BTV, scale_BT, labels_BT, logsumexp_BT)
        p_BTV = torch.sub(z_BTV, logsumexp_BT[..., None]).exp_()
        minus_one_BT1 = p_BTV.new_full((*labels_BT.shape, 1), -1)
        return p_BTV.scatter_add_(-1, labels_BT[..., None], minus_one_BT1).mul_(scale_BT[..., None])

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, u_BTV: Tensor) -> tuple[Tensor, Tensor, None, None]:
        z_BTV, scale_BT, labels_BT, logsumexp_BT = ctx.saved_tensors
        p_BTV = torch.sub(z_BTV, logsumexp_BT[..., None]).exp_()
        grad_z_BTV = p_BTV * u_BTV
        mean_BT = grad_z_BTV.sum(-1)
        grad_z_BTV.addcmul_(p_BTV, mean_BT[..., None], value=-1).mul_(scale_BT[..., None])
        return grad_z_BTV, mean_BT - u_BTV.gather(-1, labels_BT[..., None])[..., 0], None, None
