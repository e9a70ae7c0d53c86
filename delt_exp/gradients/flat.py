"""All trainable parameters of a model as one flat vector."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from delt_exp.errors import ConfigError


def trainable_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters with `requires_grad`, by name, tied ones once: the order of every flat vector of this package.

    Raises ConfigError where there is none, or where they differ in dtype or device or are not float32 or float64.
    """
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    kinds = {(p.dtype, p.device) for p in parameters.values()}
    if len(kinds) != 1 or next(iter(kinds))[0] not in (torch.float32, torch.float64):
        found = ", ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds)) or "none"
        raise ConfigError(
            f"trainable parameters of {type(model).__name__}: {found}; allowed is one kind, float32 or float64, on one "
            "device. Cast the model with model.float() and unfreeze what is to be differentiated."
        )
    return parameters


def flatten(tensors: Iterable[Tensor]) -> Tensor:
    """A new flat vector holding all elements of `tensors`, in order."""
    return torch.cat([t.detach().reshape(-1) for t in tensors])


def unflatten(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Views into `flat` with the shapes of `like`."""
    pieces = flat.split([t.numel() for t in like])
    return [piece.view(t.shape) for piece, t in zip(pieces, like, strict=True)]


@contextmanager
def accumulating_into(flat: Tensor, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Inside, every `backward()` adds the parameters' gradients to `flat`; their `.grad` is as before afterwards."""
    before = [p.grad for p in parameters]
    for p, view in zip(parameters, unflatten(flat, parameters), strict=True):
        p.grad = view
    try:
        yield
    finally:
        for p, grad in zip(parameters, before, strict=True):
            p.grad = grad
