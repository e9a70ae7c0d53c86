"""Per-sample gradient products for a whole batch from one forward and one backward pass (ghost products).

The gradient of a sample is never built as a whole: each layer's part is reduced to a dot product and a squared norm as
soon as the backward pass reaches it. Shapes: B samples, T positions.
"""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from delt_exp.corpus.tokens import IGNORED
from delt_exp.gradients.elementwise import expanding_elementwise
from delt_exp.gradients.flat import flatten, trainable_parameters, unflatten
from delt_exp.gradients.loss import evaluating, sample_losses
from delt_exp.gradients.reduction import Reduction
from delt_exp.gradients.reference import sample_gradients
from delt_exp.gradients.tape import Tape
from delt_exp.model.batch import Batch
from delt_exp.model.objective import Objective


def per_sample_terms(
    model: nn.Module, batch: Batch, objective: Objective, direction: Tensor, autocast_dtype: torch.dtype | None = None
) -> tuple[Tensor, Tensor]:
    """<g_n, direction> and ||g_n|| of each sample, two float64 vectors of shape (B,).

    g_n is the gradient of sample n's mean loss, dropout off, with respect to the trainable parameters;
    `direction` is a flat vector in the order of `trainable_parameters`. Parameters used in a way the kernel does not
    know cost one more forward and backward pass per sample, and a warning that names them.
    """
    parameters = trainable_parameters(model)
    pieces = unflatten(direction, list(parameters.values()))
    return _terms(model, batch, objective, parameters, pieces, autocast_dtype)


def per_sample_norms(
    model: nn.Module, batch: Batch, objective: Objective, autocast_dtype: torch.dtype | None = None
) -> Tensor:
    """||g_n|| as in `per_sample_terms`, cheaper."""
    return _terms(model, batch, objective, trainable_parameters(model), None, autocast_dtype)[1]


def _terms(
    model: nn.Module,
    batch: Batch,
    objective: Objective,
    parameters: dict[str, nn.Parameter],
    directions: Sequence[Tensor] | None,
    autocast_dtype: torch.dtype | None,
) -> tuple[Tensor, Tensor]:
    batch = _without_square_shape(batch)
    shape_BT = batch["labels"].shape
    tape = Tape(list(parameters.values()), shape_BT)
    with torch.enable_grad(), evaluating(model):
        with expanding_elementwise(model, shape_BT, tape.note_leaf), tape:
            losses_B = sample_losses(model, batch, objective, autocast_dtype)
        reduction = Reduction(tape, losses_B, list(parameters.values()), directions)
    dot_B, square_B = reduction.dot_B, reduction.square_B
    if reduction.left_out:
        _warn_of(model, parameters, reduction.left_out)
        by_id = {} if directions is None else dict(zip(map(id, parameters.values()), directions, strict=True))

        def loss(sample: Batch) -> Tensor:
            return sample_losses(model, sample, objective, autocast_dtype)[0]

        direction = flatten(by_id[id(p)] for p in reduction.left_out).double() if by_id else None
        for n, gradient in enumerate(sample_gradients(model, batch, loss, reduction.left_out)):
            square_B[n] += gradient.double().square().sum()
            if direction is not None:
                dot_B[n] += gradient.double() @ direction
    return dot_B, square_B.clamp(min=0).sqrt()  # rounding can take a zero norm of tied weights below zero


def _warn_of(model: nn.Module, parameters: dict[str, nn.Parameter], left_out: Sequence[nn.Parameter]) -> None:
    ids = {id(p) for p in left_out}
    names = ", ".join(name for name, p in parameters.items() if id(p) in ids)
    warnings.warn(
        f"{type(model).__name__} uses {names} in a way the per-sample gradient kernel does not know; their gradients "
        "are computed one sample at a time, which is exact and about twice as slow.",
        stacklevel=4,
    )


def _without_square_shape(batch: Batch) -> Batch:
    """One more ignored position where there are as many positions as samples.

    The kernel tells the two apart by their number, so that a layer that puts positions first cannot mislead it.
    """
    n_samples, n_positions = batch["labels"].shape
    if n_samples != n_positions or n_samples == 1:
        return batch
    added = {"labels": IGNORED, "attention_mask": 0}
    return {
        key: torch.cat([value, value.new_full((n_samples, 1), added.get(key, 0))], dim=1)
        for key, value in batch.items()
    }
