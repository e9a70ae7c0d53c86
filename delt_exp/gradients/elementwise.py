"""Per-row weights for normalisation layers of any make: RMSNorm families, scaled or shifted variants, layer scales.

Every model family writes its own RMSNorm in a few tensor operations, so there is no function whose algebra the tape
could know. But such a layer only multiplies or adds its vector to each position, so it computes the same when its
vector is given once per row of the batch, and autograd then returns the gradient per row. The copies are expanded
views and cost nothing forward; their gradients are as large as the vector times the rows, which is little. Whether a
layer is of this kind cannot be read off it: it is run, and on its first call compared with what it does on one row.
A layer that fails runs as it is, and its parameters are then left out by the reduction: slow, never wrong.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from delt_exp.gradients.tape import has_row_shape

# These call one function with their weights; the tape records that call. Expanded weights would not fit it.
_RECORDED_BY_FUNCTION = (nn.Linear, nn.Embedding, nn.LayerNorm, nn.RMSNorm)
_checked: "WeakSet[nn.Module]" = WeakSet()

OnExpanded = Callable[[nn.Parameter, Tensor], None]


@contextmanager
def expanding_elementwise(model: nn.Module, shape_RT: torch.Size, on_expanded: OnExpanded) -> Iterator[None]:
    """Inside, elementwise layers run with one copy of their trainable parameters per row.

    Each call of such a layer reports every parameter with the leaf, of shape (R, ..., *parameter.shape), that
    stood in for it. A layer that turns out not to be elementwise runs as it is, and nothing is reported.
    """
    patched = []
    for module in model.modules():
        own = list(module.parameters())
        is_leaf = len(own) == len(module._parameters)
        if is_leaf and any(p.requires_grad for p in own) and not isinstance(module, _RECORDED_BY_FUNCTION):
            patched.append((module, module.__dict__.get("forward")))
            module.forward = _Expanded(module, shape_RT, on_expanded)
    try:
        yield
    finally:
        for module, own_forward in patched:
            del module.forward
            if own_forward is not None:
                module.forward = own_forward


class _Expanded:
    """The forward function of one module: with leaves per row where that computes the same, else as it is."""

    def __init__(self, module: nn.Module, shape_RT: torch.Size, on_expanded: OnExpanded) -> None:
        self._module, self._original = module, module.forward
        self._shape_RT, self._on_expanded = shape_RT, on_expanded
        self._parameters = {name: p for name, p in module.named_parameters(recurse=False) if p.requires_grad}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if args and self._fits(args[0]):
            leaves = {name: _expand(p, args[0]) for name, p in self._parameters.items()}
            y = self._try(leaves, args, kwargs)
            if y is not None:
                for name, leaf in leaves.items():
                    self._on_expanded(self._parameters[name], leaf)
                return y
        return self._original(*args, **kwargs)

    def _fits(self, x: Any) -> bool:
        """Whether `x` is split by row and every parameter lies along its last dimensions."""
        if not (isinstance(x, Tensor) and torch.is_grad_enabled() and has_row_shape(x, *self._shape_RT)):
            return False
        return all(p.dim() < x.dim() and p.shape == x.shape[x.dim() - p.dim() :] for p in self._parameters.values())

    def _try(self, leaves: dict[str, Tensor], args: Any, kwargs: Any) -> Any:
        """What the module gives with the leaves; None if it cannot take them or computes something else with them."""
        try:
            with _standing_in(self._module, leaves):
                y = self._original(*args, **kwargs)
        except (RuntimeError, ValueError, TypeError):
            return None
        return y if _is_same_without(self._module, self._original, y, args, kwargs) else None


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
    """Whether the first row alone, with the real parameters, gives the first row of `y`; tried once per module."""
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
