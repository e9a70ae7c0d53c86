"""The gradient of every single token's loss: its product with a direction, and weighted sums.

So documents that share a sequence are told apart, and a sequence is read once for all of them.
Shapes: B samples, T positions, V vocabulary; flat vectors follow `trainable_parameters`.
"""

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from delt_exp.corpus.tokens import IGNORED
from delt_exp.gradients.flat import accumulating_into, trainable_parameters
from delt_exp.gradients.loss import autocasting
from delt_exp.gradients.tangents import logits_and_tangents
from delt_exp.model.batch import Batch
from delt_exp.model.next_token import evaluating, next_token_logits, next_token_losses


def token_products(
    model: nn.Module, batch: Batch, direction: Tensor, autocast_dtype: torch.dtype | None = None
) -> Tensor:
    """<gradient of the loss at a position, direction>, (B, T) float64, 0 where nothing is predicted; dropout off.

    The product is the derivative of the loss along the direction. One forward pass with tangents gives that of all
    tokens for the price of two plain ones; built or factored gradients would need a backward pass in which every token
    is a sample of its own.
    """
    labels_BT = batch["labels"]
    with torch.no_grad(), evaluating(model), sdpa_kernel(SDPBackend.MATH):
        logits_BTV, moved_BTV = logits_and_tangents(model, batch, direction, autocast_dtype)
        if moved_BTV is None:  # nothing of the direction reaches the logits
            return torch.zeros(labels_BT.shape, dtype=torch.float64, device=labels_BT.device)
        is_label_BT = labels_BT != IGNORED
        logits_NV, moved_NV, label_N = logits_BTV[is_label_BT], moved_BTV[is_label_BT], labels_BT[is_label_BT]
        moved_NV = moved_NV.to(direction.dtype)
        mean_N = torch.einsum("nv,nv->n", torch.softmax(logits_NV.to(direction.dtype), -1), moved_NV)
        product_N = mean_N - moved_NV.gather(1, label_N[:, None])[:, 0]
        products_BT = torch.zeros(labels_BT.shape, dtype=torch.float64, device=labels_BT.device)
        products_BT[is_label_BT] = product_N.double()
    return products_BT


def add_token_gradient(
    model: nn.Module, batch: Batch, weight_BT: Tensor, total: Tensor, autocast_dtype: torch.dtype | None = None
) -> None:
    """Add the gradient of the sum over positions of weight times loss to the flat vector `total`; dropout off."""
    parameters = list(trainable_parameters(model).values())
    with torch.enable_grad(), evaluating(model), accumulating_into(total, parameters):
        with autocasting(batch["labels"].device, autocast_dtype):
            losses_BT = next_token_losses(next_token_logits(model, batch), batch["labels"])
        (losses_BT.double() * weight_BT).sum().backward()  # type: ignore[no-untyped-call]
