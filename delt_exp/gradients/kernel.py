"""Per-sample gradients for a whole batch from one forward and one backward pass (ghost products).

The gradient of a sample is never built as a whole: each layer's part is reduced, to dot products and a squared norm or
to whatever a collector makes of it, as soon as the backward pass reaches it. A sample is one row of the batch, or
several where the objective gives one loss for several rows (the two answers of a preference pair, the windows of a long
document): a layer's gradient sums over positions, and the positions of all rows of a sample are just more of them.
Signs and weights of rows are in the loss, so they reach every product through the deltas, cross terms included.
Shapes: B samples, R rows, T positions, P parameters.
"""

import inspect
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

from delt_exp.corpus.tokens import IGNORED
from delt_exp.errors import ConfigError
from delt_exp.gradients.elementwise import expanding_elementwise
from delt_exp.gradients.flat import trainable_parameters
from delt_exp.gradients.loss import sample_losses
from delt_exp.gradients.mapped import Mapped, Transform
from delt_exp.gradients.reduction import BuiltCollector, Reduction
from delt_exp.gradients.reference import sample_gradients
from delt_exp.gradients.tape import Tape
from delt_exp.gradients.terms import Terms
from delt_exp.model.batch import Batch
from delt_exp.model.next_token import evaluating
from delt_exp.model.objective import Objective
from delt_exp.pretrained.limits import position_limit

C = TypeVar("C", bound=BuiltCollector)


@runtime_checkable
class Wrapper(Protocol):
    """A network of adapters, which passes on what it is told: `peft`'s."""

    def get_base_model(self) -> nn.Module: ...


Parameters = dict[str, nn.Parameter]


def per_sample_terms(
    model: nn.Module,
    batch: Batch,
    objective: Objective,
    direction: Tensor,
    autocast_dtype: torch.dtype | None = None,
    transform: Transform | None = None,
) -> tuple[Tensor, Tensor]:
    """`<f(g_n), direction>` and `||f(g_n)||` of each sample, float64.

    g_n is the gradient of sample n's mean loss, dropout off, with respect to the trainable parameters; f is
    `transform`, or leaves g_n as it is. `direction` is a flat vector in the order of `trainable_parameters`, (P,), or S
    of them as rows, (S, P), which costs little more; the products are then (B,) or (B, S). Parameters used in a way the
    kernel does not know cost one more forward and backward pass per sample, and a warning that names them.
    """
    terms = collect_gradients(model, batch, objective, partial(Terms, direction), autocast_dtype, transform)
    return terms.dot, terms.norms()


def per_sample_norms(
    model: nn.Module, batch: Batch, objective: Objective, autocast_dtype: torch.dtype | None = None
) -> Tensor:
    """`||g_n||` as in `per_sample_terms`, cheaper."""
    return collect_gradients(model, batch, objective, partial(Terms, None), autocast_dtype).norms()


def collect_gradients(
    model: nn.Module,
    batch: Batch,
    objective: Objective,
    open_collector: Callable[[Parameters, Tensor], C],
    autocast_dtype: torch.dtype | None = None,
    transform: Transform | None = None,
) -> C:
    """Hand the gradients of each sample, mapped by `transform`, to a collector; returns it.

    The collector is opened with the trainable parameters and the losses (B,).
    """
    parameters, loss_of = trainable_parameters(model), partial(_losses, model, objective, autocast_dtype)
    batch = _without_square_shape(batch, _places(model))
    shape_RT = batch["labels"].shape
    tape = Tape(list(parameters.values()), shape_RT)
    with torch.enable_grad(), evaluating(model):
        with expanding_elementwise(model, shape_RT, tape.note_leaf), tape:
            losses_B = loss_of(batch)
        _check_rows(losses_B, shape_RT[0])
        collector = open_collector(parameters, losses_B)
        mapped = collector if transform is None else Mapped(collector, transform, parameters, losses_B)
        left_out = Reduction(tape, list(parameters.values()), mapped).run(losses_B)
    if left_out:
        _warn_of(model, parameters, left_out)
    for n, gradients in enumerate(sample_gradients(model, batch, len(losses_B), loss_of, left_out)):
        for p, gradient in zip(left_out, gradients, strict=True):
            mapped.add_built(id(p), slice(n, n + 1), gradient.double().reshape(1, -1))
    with torch.no_grad():
        mapped.finish()
    return collector


def _losses(model: nn.Module, objective: Objective, autocast_dtype: torch.dtype | None, batch: Batch) -> Tensor:
    return sample_losses(model, batch, objective, autocast_dtype)


def _check_rows(losses_B: Tensor, num_rows: int) -> None:
    if losses_B.dim() != 1 or not len(losses_B) or num_rows % len(losses_B):
        raise ConfigError(
            f"the objective gives losses of shape {list(losses_B.shape)} for a batch of {num_rows} rows; allowed is "
            "one loss per sample, and equally many rows for each: fill short samples up with rows without labels"
        )


def _warn_of(model: nn.Module, parameters: Parameters, left_out: Sequence[nn.Parameter]) -> None:
    ids = {id(p) for p in left_out}
    names = ", ".join(name for name, p in parameters.items() if id(p) in ids)
    warnings.warn(
        f"{type(model).__name__} uses {names} in a way the per-sample gradient kernel does not know; their gradients "
        "are computed one sample at a time, which is exact and about twice as slow.",
        stacklevel=4,
    )


def _places(model: nn.Module) -> int | None:
    """Return how many positions a network has to which it can be told to put tokens; None without such a limit."""
    inner: Any = model.get_base_model() if isinstance(model, Wrapper) else model
    takes_places = "position_ids" in inspect.signature(inner.forward).parameters
    return position_limit(inner.config) if takes_places and hasattr(inner, "config") else None


def _without_square_shape(batch: Batch, limit: int | None) -> Batch:
    """One more ignored position where there are as many positions as rows.

    The kernel tells the two apart by their number, so that a layer that puts positions first cannot mislead it. Where
    the network has `limit` positions and no more, the added one, to which nothing attends, takes the place of the last.
    """
    num_rows, num_positions = shape_RT = batch["labels"].shape
    if num_rows != num_positions or num_rows == 1:
        return batch
    added = {"labels": IGNORED, "attention_mask": 0}
    wider = {
        key: torch.cat([value, value.new_full((num_rows, 1), added.get(key, 0))], dim=1)
        if value.shape == shape_RT
        else value
        for key, value in batch.items()
    }
    if num_positions == limit and "position_ids" not in batch:
        places_T = torch.arange(num_positions + 1, device=batch["labels"].device).clamp(max=num_positions - 1)
        wider["position_ids"] = places_T.expand(num_rows, -1).contiguous()
    return wider
