"""Gradients and Hessian-vector products of the mean loss over samples, accumulated over micro-batches.

Shapes: B samples; flat vectors follow `trainable_parameters`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from delt_exp.errors import ConfigError
from delt_exp.gradients.flat import accumulating_into, trainable_parameters, unflatten
from delt_exp.gradients.loss import autocasting, sample_losses
from delt_exp.model.batch import Batch
from delt_exp.model.next_token import evaluating
from delt_exp.model.objective import Objective

Weighting = int | Tensor
"""How the losses of B samples become one: a divisor of their sum, or a factor for each, (B,)."""

_TWICE_DIFFERENTIABLE_ATTENTION = ("eager", "sdpa", None)
# Options that make the output depend on the weight in another way, or hide rows of it from the gradient.
_NOT_LINEAR = ("padding_idx", "max_norm", "scale_grad_by_freq", "sparse", "alpha", "beta")


def add_gradient(
    model: nn.Module,
    batch: Batch,
    objective: Objective,
    weighting: Weighting,
    total: Tensor,
    autocast_dtype: torch.dtype | None = None,
) -> float:
    """Add the gradient of the weighted sum of the losses l_n to the flat vector `total`; returns that sum.

    Dropout is off.
    """
    parameters = list(trainable_parameters(model).values())
    with torch.enable_grad(), evaluating(model), accumulating_into(total, parameters):
        loss = _weighted(sample_losses(model, batch, objective, autocast_dtype), weighting)
        loss.backward()  # type: ignore[no-untyped-call]
    return loss.item()


def hvp(model: nn.Module, batch: Batch, objective: Objective, direction: Tensor, micro_batch_samples: int) -> Tensor:
    """H direction for the Hessian H of the mean over samples of their mean losses, dropout off; flat."""
    num_samples = batch["labels"].shape[0]
    total = torch.zeros_like(direction)
    for start in range(0, num_samples, micro_batch_samples):
        part = {key: value[start : start + micro_batch_samples] for key, value in batch.items()}
        add_hvp(model, part, objective, direction, num_samples, total)
    return total


def add_hvp(
    model: nn.Module,
    batch: Batch,
    objective: Objective,
    direction: Tensor,
    weighting: Weighting,
    total: Tensor,
    autocast_dtype: torch.dtype | None = None,
) -> None:
    """Add the product of the Hessian of the weighted sum of the l_n with `direction` to the flat vector `total`.

    Differentiates <gradient, direction> once more. The part of each linear layer in it, sum_t delta_t . (V x_t), is
    taken without forming the layer's weight gradient. Attention runs unfused, because fused kernels have no second
    derivative; raises ConfigError for attention that cannot be switched to it.
    """
    _check_attention(model)
    parameters = list(trainable_parameters(model).values())
    directions = unflatten(direction, parameters)
    with torch.enable_grad(), evaluating(model), sdpa_kernel(SDPBackend.MATH):
        with _LinearsApart(parameters) as linears:
            loss = _weighted(sample_losses(model, batch, objective, autocast_dtype), weighting)
        first = _first_derivatives(loss, linears.calls, parameters, directions, autocast_dtype)
        outputs, weights = zip(*first, strict=True)
        leaves = [call.leaf for call in linears.calls]
        second = torch.autograd.grad(outputs, [*leaves, *parameters], weights, allow_unused=True)
    views = dict(zip(map(id, parameters), unflatten(total, parameters), strict=True))
    owners = [call.weight_id for call in linears.calls] + list(views)
    for owner, product in zip(owners, second, strict=True):
        if product is not None:
            views[owner] += product


def _weighted(losses_B: Tensor, weighting: Weighting) -> Tensor:
    return losses_B.sum() / weighting if isinstance(weighting, int) else losses_B @ weighting.to(losses_B)


class _LinearCall(NamedTuple):
    """y = apply(weight) + a bias, linear in the weight; `leaf` stood in for the weight."""

    apply: Callable[[Tensor], Tensor]
    weight_id: int
    leaf: Tensor
    y: Tensor


def _first_derivatives(
    loss: Tensor,
    calls: list[_LinearCall],
    parameters: list[nn.Parameter],
    directions: list[Tensor],
    autocast_dtype: torch.dtype | None,
) -> list[tuple[Tensor, Tensor]]:
    """Pairs (a, b) of tensors such that the differential of <gradient, direction> is the sum of <da, b>."""
    deltas = torch.autograd.grad(loss, [*(c.y for c in calls), *parameters], create_graph=True, allow_unused=True)
    pairs = [(g, v) for g, v in zip(deltas[len(calls) :], directions, strict=True) if g is not None]
    by_id = dict(zip(map(id, parameters), directions, strict=True))
    with autocasting(loss.device, autocast_dtype):
        for call, delta in zip(calls, deltas, strict=False):
            if delta is not None:
                moved = call.apply(by_id[call.weight_id])
                pairs += [(delta, moved.detach()), (moved, delta.detach())]
    return [(a, b) for a, b in pairs if a.requires_grad]


class _LinearsApart(TorchFunctionMode):
    """While active, layers linear in their weight read a leaf of their own instead, and SiLU has a short Hessian.

    `calls` holds each such call with a weight among `parameters`.
    """

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        super().__init__()
        self.calls: list[_LinearCall] = []
        self._ids = {id(p) for p in parameters}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        place = {F.linear: 1, F.embedding: 1, torch.addmm: 2}.get(func, len(args))
        options = [kwargs.get(name) for name in _NOT_LINEAR]
        is_linear = all(option is None or option is False for option in options)  # a padding row of 0 is an option
        if func is F.silu and not kwargs.get("inplace"):
            return _SiLU.apply(args[0])
        if place >= len(args) or id(args[place]) not in self._ids or not is_linear:
            return func(*args, **kwargs)
        weight, leaf = args[place], args[place].detach().requires_grad_()
        y = func(*args[:place], leaf, *args[place + 1 :], **kwargs)
        apply = partial(torch.mm, args[1]) if func is torch.addmm else partial(func, args[0])
        self.calls.append(_LinearCall(apply, id(weight), leaf, y))
        return y


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
