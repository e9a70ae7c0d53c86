"""Whether every optimizer step was the planned one: its denominator, its learning rate, its gradient, its one update.

S steps, R records: one a step and rank.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delt_exp.trainer.plan import Ints

STEPS = np.dtype([
    ("step", "<i8"), ("rank", "<i8"), ("is_sharded", "?"), ("num_labels", "<i8"), ("loss", "<f8"),
    ("is_intact", "?"), ("num_updates", "<i8"), ("lr", "<f8"),
    ("backward_norm", "<f8"), ("applied_norm", "<f8"), ("grad_norm", "<f8"), ("before", "<i8"), ("after", "<i8"),
])  # fmt: skip
"""What one rank did in one step, counted from 0. num_labels, loss: predicted tokens and the sum of their losses [nats].
is_intact: gradients stayed as they were between micro-batches. grad_norm: of the whole gradient, before it was clipped.
backward_norm, applied_norm: of a sample of it, after the last backward pass and as the optimizer used it. before,
after: bits of the parameters when the first micro-batch entered the network, and after the update."""

Records = NDArray[np.void]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PlannedSteps:
    """What the steps of a training run have to be.

    num_labels: [S] predicted tokens. lr: [S] learning rates. clip_norm: None for no clipping. scales_loss: whether the
    loss is scaled (16-mixed), so that an update may be skipped. weights: bits of the parameters that were saved.
    losses: (step from 1, mean loss [nats/token]) as they were reported.
    """

    num_labels: Ints
    lr: NDArray[np.float64]
    clip_norm: float | None
    scales_loss: bool
    weights: int
    losses: Sequence[tuple[int, float]]


def step_mismatch(planned: PlannedSteps, records: Records) -> str:
    """Return an empty string when all steps were as planned and nothing but they changed the parameters.

    Else the first step that was not, counted from 1 as in metrics.csv, and why. records: [R] STEPS.
    """
    records = np.sort(records, order=["step", "rank"])
    present, first = np.unique(records["step"], return_index=True)
    if not np.array_equal(present, np.arange(len(planned.num_labels))):
        return f"{len(present)} steps left a record, {len(planned.num_labels)} were planned"
    checks = [*_losses(planned, records, first), *_updates(planned, records, first)]
    wrong = [(int(flags_S.argmax()), why) for why, flags_S in checks if flags_S.any()]
    if wrong:
        step, why = min(wrong, key=lambda found: found[0])
        return f"step {step + 1}: {why}"
    if planned.weights != _whole(records, "after", first)[0][-1]:
        return "the saved parameters are not those after the last update"
    return ""


def _losses(planned: PlannedSteps, records: Records, first: Ints) -> list[tuple[str, Flags]]:
    """Whether the losses are those of all planned labels."""
    found = np.add.reduceat(records["num_labels"], first)
    reported = np.full(len(first), np.nan)
    for step, loss in planned.losses:
        reported[step - 1] = loss
    means = np.add.reduceat(records["loss"], first) / planned.num_labels
    return [
        ("its losses are not those of the planned number of labels", found != planned.num_labels),
        ("the reported loss is not that of the batch", ~np.isnan(reported) & ~np.isclose(means, reported, rtol=1e-6)),
    ]


def _updates(planned: PlannedSteps, records: Records, first: Ints) -> list[tuple[str, Flags]]:
    """Whether each gradient was used unaltered in one update that changed the parameters, and nothing else did."""
    (before, alike_before), (after, alike_after) = (_whole(records, name, first) for name in ("before", "after"))
    backward, clipped, applied = (
        _norms(records, name, first) for name in ("backward_norm", "grad_norm", "applied_norm")
    )
    limit = np.inf if planned.clip_norm is None else planned.clip_norm
    is_unaltered = np.isclose(applied, backward * np.minimum(1, limit / (clipped + 1e-6)), rtol=1e-3)
    is_skipped = planned.scales_loss & (np.maximum.reduceat(records["num_updates"], first) == 0)
    counts = np.minimum.reduceat(records["num_updates"], first), np.maximum.reduceat(records["num_updates"], first)
    rates = np.minimum.reduceat(records["lr"], first), np.maximum.reduceat(records["lr"], first)
    is_planned_lr = np.all([np.isclose(rate, planned.lr, rtol=1e-6, atol=0) for rate in rates], axis=0)
    has_loss = np.add.reduceat(records["loss"], first) > 0
    return [
        ("not exactly one update was made", ~is_skipped & ((counts[0] != 1) | (counts[1] != 1))),
        ("the parameters were changed between two updates", np.append(False, before[1:] != after[:-1])),
        ("the gradient was changed between micro-batches", ~np.logical_and.reduceat(records["is_intact"], first)),
        ("the gradient is zero", has_loss & (clipped == 0)),
        ("the learning rate is not that of the schedule", ~is_skipped & ~is_planned_lr),
        ("the gradient was changed before the update", ~(planned.scales_loss | is_unaltered)),
        ("the update changed no parameter", ~is_skipped & (planned.lr > 0) & (clipped > 0) & (before == after)),
        ("processes hold different parameters", ~(alike_before & alike_after)),
    ]  # fmt: skip


def _whole(records: Records, name: str, first: Ints) -> tuple[Ints, Flags]:
    """Return [S] bits of the whole parameters, and whether all ranks that hold all of them agree; shards add up."""
    values, is_sharded = records[name], records["is_sharded"][first]
    alike = np.minimum.reduceat(values, first) == np.maximum.reduceat(values, first)
    return np.where(is_sharded, np.add.reduceat(values, first), values[first]), alike | is_sharded


def _norms(records: Records, name: str, first: Ints) -> NDArray[np.float64]:
    """Return [S] norms of whole gradients; `grad_norm` is whole on every rank."""
    values, is_sharded = records[name], records["is_sharded"][first]
    if name == "grad_norm":
        return np.asarray(values[first])
    return np.where(is_sharded, np.sqrt(np.add.reduceat(np.square(values), first)), values[first])
