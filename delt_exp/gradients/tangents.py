"""How the logits of a batch move with the parameters: a forward pass that carries tangents.

Shapes: B samples, T positions, V vocabulary; flat vectors follow `trainable_parameters`.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from delt_exp.gradients.flat import trainable_parameters, unflatten
from delt_exp.gradients.loss import autocasting
from delt_exp.model.batch import Batch
from delt_exp.model.next_token import next_token_logits


def logits_and_tangents(
    model: nn.Module, batch: Batch, direction: Tensor, autocast_dtype: torch.dtype | None
) -> tuple[Tensor, Tensor | None]:
    """Logits, still attached to the parameters, and J direction, (B, T, V) each.

    The second is None where no part of the direction reaches the logits. Call it with dropout off and attention
    unfused: fused kernels have no forward mode.
    """
    parameters = trainable_parameters(model)
    tangents = unflatten(direction, list(parameters.values()))
    # Outside the level there are no tangents: inside, the backward pass would carry them along.
    with forward_ad.dual_level(), autocasting(batch["labels"].device, autocast_dtype):
        pairs = zip(parameters.items(), tangents, strict=True)
        duals = {name: forward_ad.make_dual(p, tangent) for (name, p), tangent in pairs}

        def network(**inputs: Tensor) -> object:
            return functional_call(model, duals, (), inputs)

        with _FixedPaddingRows():
            logits_BTV, moved_BTV = forward_ad.unpack_dual(next_token_logits(network, batch))
        return logits_BTV, moved_BTV


class _FixedPaddingRows(TorchFunctionMode):
    """While active, the padding row of a table does not move: the backward pass gives it no gradient either.

    Forward mode does not know of padding rows, and J would not be the transpose of J^T.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        padding = kwargs.get("padding_idx", args[2] if len(args) > 2 else None)
        if func is F.embedding and padding is not None and len(args) > 1:
            weight, moved = forward_ad.unpack_dual(args[1])
            if moved is not None:
                rows = torch.tensor([padding % len(weight)], device=weight.device)
                args = (args[0], forward_ad.make_dual(weight, moved.index_fill(0, rows, 0)), *args[2:])
        return func(*args, **kwargs)
