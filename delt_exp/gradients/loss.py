"""Per-sample mean token loss of causal language models, twice differentiable at little cost.

Shapes: B samples, N positions of all samples, V vocabulary.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

from delt_exp.corpus.tokens import IGNORED
from delt_exp.gradients.flat import trainable_parameters
from delt_exp.model.batch import Batch
from delt_exp.model.objective import Objective


def sample_losses(
    model: nn.Module, batch: Batch, objective: Objective, autocast_dtype: torch.dtype | None = None
) -> Tensor:
    """Mean loss of each sample over what the objective counts in it, in nats, shape (B,), in the parameters' dtype.

    A sample in which nothing counts has loss 0 and gradient 0. `autocast_dtype`: see `autocasting`.
    """
    dtype = next(iter(trainable_parameters(model).values())).dtype
    with autocasting(batch["labels"].device, autocast_dtype), _ShortCrossEntropy():
        losses_B = objective.losses(model, batch)
    return losses_B.to(dtype) * (1 / objective.counts(batch).clamp(min=1).to(dtype))


def autocasting(device: torch.device, dtype: torch.dtype | None) -> torch.autocast:
    """Context in which matrix products run in `dtype`, or as they are for None, whatever holds outside.

    Casts are not cached: two uses of a weight would share one graph node, which hides uses from the kernel.
    """
    return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None, cache_enabled=False)


class _ShortCrossEntropy(TorchFunctionMode):
    """While active, cross-entropy position by position has a short Hessian; objectives need not know of it."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return (_cross_entropy if func is F.cross_entropy else func)(*args, **kwargs or {})


def _cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None, **options: Any) -> Tensor:
    is_plain = weight is None and not options.get("label_smoothing") and options.get("reduction") == "none"
    if not is_plain or input.dim() != 2:
        return F.cross_entropy(input, target, weight, **options)
    valid_N = target != options.get("ignore_index", IGNORED)
    return _TokenLoss.apply(input, target.where(valid_N, 0), valid_N.to(input.dtype))


class _TokenLoss(torch.autograd.Function):
    """weight * (logsumexp(z) - z[label]); autograd's own second derivative of it is several times slower."""

    @staticmethod
    def forward(ctx: Any, z_NV: Tensor, labels_N: Tensor, weight_N: Tensor) -> Tensor:
        logsumexp_N = torch.logsumexp(z_NV, -1)
        ctx.save_for_backward(z_NV, labels_N, weight_N, logsumexp_N)
        return (logsumexp_N - z_NV.gather(-1, labels_N[..., None])[..., 0]) * weight_N

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        z_NV, labels_N, weight_N, logsumexp_N = ctx.saved_tensors
        return _TokenLossGradient.apply(z_NV, grad_outputs[0] * weight_N, labels_N, logsumexp_N), None, None


class _TokenLossGradient(torch.autograd.Function):
    """scale * (softmax(z) - onehot(label)), with the Hessian of the loss as its derivative."""

    @staticmethod
    def forward(ctx: Any, z_NV: Tensor, scale_N: Tensor, labels_N: Tensor, logsumexp_N: Tensor) -> Tensor:
        ctx.save_for_backward(z_NV, scale_N, labels_N, logsumexp_N)
        p_NV = torch.sub(z_NV, logsumexp_N[..., None]).exp_()
        minus_one_N1 = p_NV.new_full((*labels_N.shape, 1), -1)
        return p_NV.scatter_add_(-1, labels_N[..., None], minus_one_N1).mul_(scale_N[..., None])

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, u_NV: Tensor) -> tuple[Tensor, Tensor, None, None]:
        z_NV, scale_N, labels_N, logsumexp_N = ctx.saved_tensors
        p_NV = torch.sub(z_NV, logsumexp_N[..., None]).exp_()
        grad_z_NV = p_NV * u_NV
        mean_N = grad_z_NV.sum(-1)
        grad_z_NV.addcmul_(p_NV, mean_N[..., None], value=-1).mul_(scale_N[..., None])
        return grad_z_NV, mean_N - u_NV.gather(-1, labels_N[..., None])[..., 0], None, None
