"""Products with the Gauss-Newton matrix of the mean token loss.

Shapes: B samples, T positions, V vocabulary; flat vectors follow `trainable_parameters`.
"""

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from delt_exp.corpus.tokens import IGNORED
from delt_exp.gradients.flat import trainable_parameters, unflatten
from delt_exp.gradients.products import Weighting
from delt_exp.gradients.tangents import logits_and_tangents
from delt_exp.model.batch import Batch
from delt_exp.model.next_token import evaluating


def add_gauss_newton(
    model: nn.Module,
    batch: Batch,
    direction: Tensor,
    weighting: Weighting,
    total: Tensor,
    autocast_dtype: torch.dtype | None = None,
) -> None:
    """Add J^T H J direction to the flat vector `total`: J the Jacobian of the logits, H the Hessian of the loss there.

    The loss is the weighted sum of the samples' mean token losses. The Hessian without the curvature of the network
    itself: never negative (Schraudolph 2002, doi 10.1162/08997660260028683). One forward pass carries values and
    tangents, one backward pass follows: together they take about one and a half times as long as a gradient.
    """
    parameters = trainable_parameters(model)
    with torch.enable_grad(), evaluating(model), sdpa_kernel(SDPBackend.MATH):
        logits_BTV, moved_BTV = logits_and_tangents(model, batch, direction, autocast_dtype)
        if moved_BTV is None:  # nothing of the direction reaches the logits
            return
        weight_BT = _token_weights(batch["labels"], weighting).to(direction)
        product_BTV = _softmax_hessian(logits_BTV.detach(), moved_BTV.detach(), weight_BT)
        gradients = torch.autograd.grad(logits_BTV, list(parameters.values()), product_BTV, allow_unused=True)
    for piece, gradient in zip(unflatten(total, list(parameters.values())), gradients, strict=True):
        if gradient is not None:
            piece += gradient


def _token_weights(labels_BT: Tensor, weighting: Weighting) -> Tensor:
    """What the loss of each token counts in the loss of the batch."""
    is_label_BT = labels_BT != IGNORED
    weight_B = 1 / weighting if isinstance(weighting, int) else weighting.to(labels_BT.device)[:, None]
    return is_label_BT * weight_B / is_label_BT.sum(1, keepdim=True).clamp(min=1)


def _softmax_hessian(logits_BTV: Tensor, moved_BTV: Tensor, weight_BT: Tensor) -> Tensor:
    """(diag p - p p^T) moved, weighted, in the type of the logits."""
    p_BTV = torch.softmax(logits_BTV.to(weight_BT.dtype), -1)
    moved_BTV = moved_BTV.to(weight_BT.dtype)
    centred_BTV = moved_BTV - (p_BTV * moved_BTV).sum(-1, keepdim=True)
    return (p_BTV * centred_BTV * weight_BT[..., None]).to(logits_BTV.dtype)
