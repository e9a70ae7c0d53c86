"""How the validation loss after a step of the optimizer depends on the weights of the sequences in that step.

A step minimises sum_i w_i l_i / N, l_i the summed loss of sequence i and N the labels of the batch: theta' = theta -
lr u(g~), g~ the clipped g = sum_i w_i G_i / N with G_i = dl_i / dtheta. So with g_v = dL / dtheta at theta'

    dL / dw_i = - lr <g_v, (du / dg~) (dg~ / dg) G_i> / N = <v, G_i> / N,    v = - lr (dg~ / dg)^T (du / dg~) g_v

The parts are diagonal (`Differentiable.slope`) and of rank one (`clipped_slope`), so that v is a flat vector, and one
pass of per-sample dot products at theta gives the derivative by all weights. No second derivative of the network is
needed, because G_i is taken at theta, which the weights of this step do not move. Weight decay moves theta' by
something that no weight changes, and drops out.

B sequences of a batch, P trainable parameters.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from delt_exp.gradients.flat import flatten, unflatten
from delt_exp.gradients.kernel import per_sample_terms
from delt_exp.model.batch import Batch
from delt_exp.model.next_token import NETWORK_INPUTS
from delt_exp.model.objective import Objective
from delt_exp.model.optimizer import Differentiable, clipped_slope


def direction_of_weights(
    gradient_P: Tensor,
    parameters: Iterable[nn.Parameter],
    rule: Differentiable,
    optimizer: torch.optim.Optimizer,
    grad_norm: float,
    clip_norm: float | None,
) -> Tensor:
    """Return v [P] for a loss whose gradient after the step is `gradient_P`.

    optimizer: as it is after the step; the parameters still hold the clipped gradients of the step. grad_norm: their
    norm before they were clipped.
    """
    parameters = list(parameters)
    lr_of = {p: group["lr"] for group in optimizer.param_groups for p in group["params"]}
    used = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    pieces = [
        torch.zeros_like(p) if p.grad is None else -lr_of[p] * rule.slope(p.grad, optimizer.state[p]) * piece
        for p, piece in zip(parameters, unflatten(gradient_P, parameters), strict=True)
    ]
    return clipped_slope(flatten(pieces), flatten(used), grad_norm, clip_norm)


def products_with_sequences(
    network: Any, batch: Batch, objective: Objective, direction_P: Tensor, autocast_dtype: torch.dtype | None = None
) -> Tensor:
    """Return <v, G_i> [B] float64 of the sequences of a batch at the present parameters, dropout off."""
    rows = {name: batch[name] for name in (*NETWORK_INPUTS, "labels") if name in batch}
    dot_B, _ = per_sample_terms(network, rows, objective, direction_P, autocast_dtype)
    return dot_B * objective.counts(rows)  # the kernel's losses are means
