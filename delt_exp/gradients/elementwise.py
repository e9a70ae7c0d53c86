"""Per-sample weights for normalisation layers of any make: RMSNorm families, scaled or shifted variants, layer scales.

Such a layer only multiplies or adds its vector to each position, so it computes the same when its vector is given once
per sample, and autograd then returns the gradient per sample. Whether it does is checked on its first call.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from delt_exp.gradients.tape import has_sample_shape

# These call one function with their weights; the tape records that call. Expanded weights would not fit it.
_RECORDED_BY_FUNCTION = (nn.Linear, nn.Embedding, nn.LayerNorm, nn.RMSNorm)
_checked: "WeakSet[nn.Module]" = WeakSet()

OnExpanded = Callable[[nn.Parameter, Tensor], None]


@contextmanager
def expanding_elementwise(model: nn.Module, shape_BT: torch.Size, on_expanded: OnExpanded) -> Iterator[None]:
    """Inside, elementwise layers run with one copy of their trainable parameters per sample.

    Each call of such a layer reports every parameter with the leaf, of shape (B, ..., *parameter.shape), that
    stood in for it. A layer that turns out not to be elementwise runs as it is, and nothing is reported.
    """
    patched = []
    for module in model.modules():
        own = list(module.parameters())
        is_leaf = len(own) == len(module._parameters)
        if is_leaf and any(p.requires_grad for p in own) and not isinstance(module, _RECORDED_BY_FUNCTION):
            patched.append((module, module.__dict__.get("forward")))
            module.forward = _expanded_forward(module, shape_BT, on_expanded)
    try:
        yield
    finally:
        for module, own_forward in patched:
            del module.forward
            if own_forward is not None:
                module.forward = own_forward


def _expanded_forward(module: nn.Module, shape_BT: torch.Size, on_expanded: OnExpanded) -> Callable[..., Any]:
    original = module.forward
    parameters = {name: p for name, p in module.named_parameters(recurse=False) if p.requires_grad}

    def forward(*args: Any, **kwargs: Any) -> Any:
        x = args[0] if args else None
        if not (isinstance(x, Tensor) and torch.is_grad_enabled() and has_sample_shape(x, *shape_BT)):
            return original(*args, **kwargs)
        if any(p.dim() >= x.dim() or p.shape != x.shape[x.dim() - p.dim() :] for p in parameters.values()):
            return original(*args, **kwargs)
        leaves = {name: _expand(p, x) for name, p in parameters.items()}
        try:
            with _standing_in(module, leaves):
                y = original(*args, **kwargs)
        except (RuntimeError, ValueError, TypeError):
            return original(*args, **kwargs)
        if not _is_same_without(module, original, y, args, kwargs):
            return original(*args, **kwargs)
        for name, leaf in leaves.items():
            on_expanded(parameters[name], leaf)
        return y

    return forward


def _expand(parameter: nn.Parameter, x: Tensor) -> Tensor:
    ones = [1] * (x.dim() - 1 - parameter.dim())
    leaf = parameter.detach().reshape(1, *ones, *parameter.shape).expand(x.shape[0], *ones, *parameter.shape)
    return leaf.requires_grad_()


@contextmanager
def _standing_in(module: nn.Module, tensors: dict[str, Tensor]) -> Iterator[None]:
    own = dict(module._parameters)
    module._parameters.update(tensors)  # type: ignore[arg-type]
    try:
        yield
    finally:
        module._parameters.update(own)


def _is_same_without(module: nn.Module, original: Callable[..., Any], y: Any, args: Any, kwargs: Any) -> bool:
    """Whether the first sample alone, with the real parameters, gives the first row of `y`; tried once per module."""
    if module in _checked:
        return True

    def first(t: Any) -> Any:
        return t[:1] if isinstance(t, Tensor) and t.dim() > 1 else t

    with torch.no_grad():
        expected = original(*tree_map(first, args), **tree_map(first, kwargs))
    if not (isinstance(y, Tensor) and isinstance(expected, Tensor)) or y[:1].shape != expected.shape:
        return False
    if torch.allclose(y[:1], expected, rtol=1e-2 if y.dtype == torch.bfloat16 else 1e-4, atol=1e-6):
        _checked.add(module)
        return True
    return False
