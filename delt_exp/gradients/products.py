"""Gradients and Hessian-vector products of the mean loss over samples, accumulated over micro-batches.

Shapes: B samples; flat vectors follow `trainable_parameters`.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from delt_exp.errors import ConfigError
from delt_exp.gradients.flat import accumulating_into, trainable_parameters, unflatten
from delt_exp.gradients.loss import Batch, autocasting, evaluating, sample_losses

_TWICE_DIFFERENTIABLE_ATTENTION = ("eager", "sdpa", None)


def add_gradient(
    model: nn.Module, batch: Batch, divisor: int, total: Tensor, autocast_dtype: torch.dtype | None = None
) -> float:
    """Add the gradient of sum_n l_n / divisor to the flat vector `total`; returns that sum. Dropout is off."""
    parameters = list(trainable_parameters(model).values())
    with torch.enable_grad(), evaluating(model), accumulating_into(total, parameters):
        loss = sample_losses(model, batch, autocast_dtype).sum() / divisor
        loss.backward()  # type: ignore[no-untyped-call]
    return loss.item()


def hvp(model: nn.Module, batch: Batch, direction: Tensor, micro_batch_samples: int) -> Tensor:
    """H direction for the Hessian H of the mean over samples of their mean token losses, dropout off; flat."""
    n_samples = batch["labels"].shape[0]
    total = torch.zeros_like(direction)
    for start in range(0, n_samples, micro_batch_samples):
        part = {key: value[start : start + micro_batch_samples] for key, value in batch.items()}
        add_hvp(model, part, direction, n_samples, total)
    return total


def add_hvp(
    model: nn.Module,
    batch: Batch,
    direction: Tensor,
    divisor: int,
    total: Tensor,
    autocast_dtype: torch.dtype | None = None,
) -> None:
    """Add the product of the Hessian of sum_n l_n / divisor with `direction` to the flat vector `total`.

    Differentiates <gradient, direction> once more. The part of each linear layer in it, sum_t delta_t . (V x_t), is
    taken without forming the layer's weight gradient. Attention runs unfused, because fused kernels have no second
    derivative; raises ConfigError for attention that cannot be switched to it.
    """
    _check_attention(model)
    parameters = list(trainable_parameters(model).values())
    directions = unflatten(direction, parameters)
    with torch.enable_grad(), evaluating(model), sdpa_kernel(SDPBackend.MATH):
        with _LinearsApart(parameters) as linears:
            loss = sample_losses(model, batch, autocast_dtype).sum() / divisor
        first = _first_derivatives(loss, linears, parameters, directions, autocast_dtype)
        outputs, weights = zip(*first, strict=True)
        leaves = [leaf for _, _, leaf, _ in linears.calls]
        second = torch.autograd.grad(outputs, [*leaves, *parameters], weights, allow_unused=True)
    views = dict(zip(map(id, parameters), unflatten(total, parameters), strict=True))
    owners = [id(weight) for _, weight, _, _ in linears.calls] + list(views)
    for owner, product in zip(owners, second, strict=True):
        if product is not None:
            views[owner] += product


def _first_derivatives(
    loss: Tensor,
    linears: "_LinearsApart",
    parameters: list[nn.Parameter],
    directions: list[Tensor],
    autocast_dtype: torch.dtype | None,
) -> list[tuple[Tensor, Tensor]]:
    """Pairs (a, b) of tensors such that the differential of <gradient, direction> is the sum of <da, b>."""
    outputs = [y for _, _, _, y in linears.calls]
    deltas = torch.autograd.grad(loss, [*outputs, *parameters], create_graph=True, allow_unused=True)
    pairs = [(g, v) for g, v in zip(deltas[len(outputs) :], directions, strict=True) if g is not None]
    by_id = dict(zip(map(id, parameters), directions, strict=True))
    with autocasting(loss.device, autocast_dtype):
        for (x, weight, _, _), delta in zip(linears.calls, deltas, strict=False):
            if delta is not None:
                moved = F.linear(x, by_id[id(weight)])
                pairs += [(delta, moved.detach())] + ([(moved, delta.detach())] if moved.requires_grad else [])
    return [(a, b) for a, b in pairs if a.requires_grad]


class _LinearsApart(TorchFunctionMode):
    """While active, each linear layer reads a leaf of its own instead of its weight, and SiLU has a short Hessian.

    `calls` holds (input, weight, leaf, output) of each linear layer's call with a weight in `parameters`.
    """

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        super().__init__()
        self.calls: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self._ids = {id(p) for p in parameters}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.silu and not kwargs.get("inplace"):
            return _SiLU.apply(args[0])
        if func is F.linear and len(args) > 1 and id(args[1]) in self._ids:
            leaf = args[1].detach().requires_grad_()
            y = func(args[0], leaf, *args[2:], **kwargs)
            self.calls.append((args[0], args[1], leaf, y))
            return y
        return func(*args, **kwargs)


class _SiLU(torch.autograd.Function):
    """x * sigmoid(x) with a closed form for its second derivative, which autograd takes in a dozen passes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return F.silu(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        return _SiLUGradient.apply(ctx.saved_tensors[0], grad_outputs[0])


class _SiLUGradient(torch.autograd.Function):
    """silu'(x) * grad, with silu' = s (1 + x (1 - s)) and silu'' = s (1 - s) (2 + x (1 - 2 s)), s = sigmoid(x)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, grad: Tensor) -> Tensor:
        ctx.save_for_backward(x, grad)
        return torch.ops.aten.silu_backward(grad, x)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor, Tensor]:
        x, grad = ctx.saved_tensors
        sigmoid = torch.sigmoid(x)
        curvature = sigmoid.mul(-2).add_(1).mul_(x).add_(2).mul_(sigmoid).mul_(sigmoid.neg_().add_(1))
        return curvature.mul_(u).mul_(grad), torch.ops.aten.silu_backward(u, x)


def _check_attention(model: nn.Module) -> None:
    attention = getattr(getattr(model, "config", None), "_attn_implementation", None)
    if attention not in _TWICE_DIFFERENTIABLE_ATTENTION:
        raise ConfigError(
            f"attention implementation {attention!r} of {type(model).__name__} has no second derivative; allowed are "
            "'eager' and 'sdpa': call model.set_attn_implementation('sdpa')"
        )
