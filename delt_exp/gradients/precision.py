"""In which numbers the forward passes of gradients compute; imports no torch, so that settings are checked early."""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "bf16"]  # weights, gradients and sums are float32 either way


def autocast_dtype(precision: Precision) -> "torch.dtype | None":
    """Return what autocast is to compute in; None for no autocast."""
    import torch

    return torch.bfloat16 if precision == "bf16" else None
