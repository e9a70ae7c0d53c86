"""What a valuation shows of its work.

Shapes: N occurrences of documents, G groups of the target, T updates.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from delt_exp.scorer.dvemb.values import Values
from delt_exp.store.evidence import Evidence, Figure

TOP = 0.05  # the share of documents that are summed up as the best
# Of |lr H costate| / |costate|: terms of second order are then no longer small beside those that values are made of.
LARGE = 0.5


def show_values(
    evidence: Evidence, values: Values, ids: NDArray[np.uint64], group_names: Sequence[str], weight_G: torch.Tensor,
    cure: str,
) -> None:  # fmt: skip
    """Leave the value of every occurrence, the updates, and pictures of both; cure: for a warning on large steps."""
    _show_occurrences(evidence, values, ids, group_names, weight_G)
    _show_updates(evidence, values, weight_G)
    growth, curvature = values.growth_TG, values.curvature_TG
    num_unused = len(ids) - len(np.unique(values.row_N.numpy()))
    numbers: dict[str, float | str] = {
        "updates": len(values.rate_T),
        "occurrences": len(values.step_N),
        "documents_without_occurrence": num_unused,
        "target_groups": len(group_names),
        "largest_growth": float(growth.max()),
        "largest_lr_curvature": float(curvature.max()),
        "trajectory": values.trajectory,
    }
    caption = (
        "largest_lr_curvature is what the curvature of an update's loss adds to the derivative of the target's loss, "
        "relative to it, at worst; of plain gradient descent a lower bound of |lr H|. The smaller they are, the "
        "better first-order values agree with retraining. largest_growth is that of the derivative over an update, "
        "going back."
    )
    evidence.numbers("valuation", numbers, caption)
    if num_unused:
        evidence.warn(
            f"{num_unused:,} of {len(ids):,} candidates have the value 0, because the valued run ends before it uses "
            "them; raise training.max_tokens, or use training.epochs=1 training.max_tokens=null, to value all"
        )
    _warn_of_curvature(evidence, curvature.max(dim=1).values, cure)


def _warn_of_curvature(evidence: Evidence, curvature_T: torch.Tensor, cure: str) -> None:
    if not (is_large_T := curvature_T > LARGE).any():
        return
    evidence.warn(
        f"values are first-order, and lr x curvature reaches {float(curvature_T.max()):.2g} at update "
        f"{int(curvature_T.argmax()) + 1} (above {LARGE:g} in {int(is_large_T.sum())} of {len(curvature_T)} updates), "
        f"where retraining may disagree with them: {cure}"
    )


def _show_occurrences(
    evidence: Evidence, values: Values, ids: NDArray[np.uint64], group_names: Sequence[str], weight_G: torch.Tensor
) -> None:
    value_N = values.value_NG @ weight_G
    columns = {"update": values.step_N.numpy() + 1, "id": ids[values.row_N.numpy()], "value": value_N.numpy()}
    caption = (
        "Each occurrence of a document in an update: by how many nats the loss of the target would be higher at the "
        "end without it"
    )
    if follows_gradient := bool(values.drop_T.isfinite().all()):
        drop_N = values.drop_T[values.step_N].clamp(min=torch.finfo(torch.float64).tiny)
        columns["value_per_drop"] = (value_N / drop_N).numpy()
        caption += (
            ", and that divided by the loss which the update took off its own batch to first order, lr times gradient "
            "times clipped gradient"
        )
    if len(group_names) > 1:
        columns |= {f"value_{i}_{name}": values.value_NG[:, i].numpy() for i, name in enumerate(group_names)}
    evidence.table("occurrences", columns, f"{caption}.")
    over_training = Figure(
        "Values over training", "occurrences", "scatter", "update", ("value",), "update", "value [nats]"
    )
    evidence.figure(
        "values_over_training",
        over_training,
        "Each point is a document in the update that used it; above 0 it lowered the loss of the target at the end.",
    )
    if not follows_gradient:
        return
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


def show_groups(evidence: Evidence, value_DG: NDArray[np.float64], sizes: Mapping[str, int]) -> None:
    """Leave what the documents [D] of a corpus are worth for each group of a target; sizes: its documents."""
    size = max(1, round(TOP * len(value_DG)))
    columns = {
        "group": list(sizes),
        "shots": list(sizes.values()),
        "mean_score": value_DG.mean(0),
        "mean_of_top": np.sort(value_DG, 0)[-size:].mean(0),
    }
    evidence.table("groups", columns, "Groups of the target, and what documents are worth for them.")
