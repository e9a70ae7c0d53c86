"""What a valuation shows of its work.

Shapes: N occurrences of documents, G groups of the target, T updates.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from delt_exp.scorer.dvemb.values import Values
from delt_exp.store.evidence import Evidence, Figure


def show_values(
    evidence: Evidence, values: Values, ids: NDArray[np.uint64], group_names: Sequence[str], weight_G: torch.Tensor
) -> None:
    """Leave the value of every occurrence, the updates, and pictures of both."""
    _show_occurrences(evidence, values, ids, group_names, weight_G)
    _show_updates(evidence, values, weight_G)
    growth, curvature = values.growth_TG, values.curvature_TG
    numbers: dict[str, float | str] = {
        "updates": len(values.rate_T),
        "occurrences": len(values.step_N),
        "target_groups": len(group_names),
        "largest_growth": float(growth.max()),
        "largest_lr_curvature": float(curvature.max()),
        "trajectory": values.trajectory,
    }
    caption = (
        "largest_lr_curvature is |lr H costate| / |costate| at worst, a lower bound of |lr H|: the smaller, the better "
        "first-order values agree with retraining. largest_growth is that of |costate| over an update."
    )
    evidence.numbers("valuation", numbers, caption)


def _show_occurrences(
    evidence: Evidence, values: Values, ids: NDArray[np.uint64], group_names: Sequence[str], weight_G: torch.Tensor
) -> None:
    value_N = values.value_NG @ weight_G
    drop_T = values.rate_T * values.gradient_norm_T.square()
    per_drop_N = value_N / drop_T[values.step_N].clamp(min=torch.finfo(torch.float64).tiny)
    columns = {
        "update": values.step_N.numpy() + 1,
        "id": ids[values.row_N.numpy()],
        "value": value_N.numpy(),
        "value_per_drop": per_drop_N.numpy(),
    }
    if len(group_names) > 1:
        columns |= {f"value_{i}_{name}": values.value_NG[:, i].numpy() for i, name in enumerate(group_names)}
    caption = (
        "Each occurrence of a document in an update: by how many nats the loss of the target would be higher at the "
        "end without it, and that divided by the loss which the update took off its own batch, lr |gradient|^2."
    )
    evidence.table("occurrences", columns, caption)
    over_training = Figure(
        "Values over training", "occurrences", "scatter", "update", ("value",), "update", "value [nats]"
    )
    evidence.figure(
        "values_over_training",
        over_training,
        "Each point is a document in the update that used it; above 0 it lowered the loss of the target at the end.",
    )
    per_drop = Figure(
        "Values per loss drop of the update", "occurrences", "scatter", "update", ("value_per_drop",), "update",
        "value / loss drop",
    )  # fmt: skip
    evidence.figure(
        "values_per_drop",
        per_drop,
        "The same values divided by what the update took off the loss of its own batch, which makes early and late "
        "updates comparable.",
    )


def _show_updates(evidence: Evidence, values: Values, weight_G: torch.Tensor) -> None:
    columns = {
        "update": np.arange(1, len(values.rate_T) + 1),
        "lr": values.rate_T.numpy(),
        "train_loss": values.train_loss_T.numpy(),
        "gradient_norm": values.gradient_norm_T.numpy(),
        "costate_norm": (values.costate_norm_TG @ weight_G).numpy(),
        "growth": values.growth_TG.max(dim=1).values.numpy(),
        "lr_curvature": values.curvature_TG.max(dim=1).values.numpy(),
    }
    caption = (
        "Each update: its learning rate, loss and gradient norm of its batch before it, the norm of what its values "
        "are products with, and how much stepping back over it multiplies that norm (the largest over target groups)."
    )
    evidence.table("valued_updates", columns, caption)
    loss = Figure(
        "Loss along the valued run", "valued_updates", "line", "update", ("train_loss",), "update", "loss [nats/token]"
    )
    evidence.figure(
        "valued_updates",
        loss,
        "Loss of each batch before its update. It differs from batch to batch; where it keeps rising, the run diverges "
        "and the values mean nothing: lower the learning rate.",
    )
