"""What a reader should see: where the weight goes by position alone, and how the queries were answered."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.scorer.data_whisperer.groups import NOBODY, Groups
from delt_exp.scorer.data_whisperer.metrics import WRITTEN, Metric
from delt_exp.scorer.data_whisperer.weighting import mean_over_queries, position_means
from delt_exp.store.evidence import Evidence, Figure


def show(
    evidence: Evidence, shares_GQD: NDArray[np.float64], metrics_GQ: NDArray[np.float64], groups: Groups, metric: Metric
) -> None:
    """Leave the mean weight at each position of the largest groups, and how metrics and weights vary.

    Warns where no written answer agrees with its response at all.
    """
    if metric in WRITTEN and not metrics_GQ.any():
        evidence.warn(
            f"no answer of the judge agrees with its response under scorer.metric={metric}, so that all scores are 0 "
            "and their order means nothing; use scorer.metric=prob, or a stronger judge"
        )
    largest_G = groups.num_members == groups.num_members.max()
    members_GD, shares_GD = groups.members_GD[largest_G], mean_over_queries(shares_GQD[largest_G])
    shares_GD = shares_GD[:, : groups.num_members.max()]
    mean_D = position_means(shares_GD, members_GD[:, : shares_GD.shape[1]])[0]
    spread_D = shares_GD.std(0)
    columns = {"position": np.arange(1, len(mean_D) + 1), "mean_weight": mean_D, "deviation": spread_D}
    evidence.table("weight_by_position", columns, "Weight of a demonstration by its position in the prompt.")
    figure = Figure(
        "Weight by position", "weight_by_position", "bars", "position", ("mean_weight",), "position", "mean weight"
    )
    evidence.figure("weight_by_position", figure, "Unequal bars show how much position alone decides.")
    is_asked_GQ = groups.queries_GQ != NOBODY
    asked = metrics_GQ[is_asked_GQ]
    numbers: dict[str, float | str | None] = {
        "groups": float(len(groups)),
        "queries asked": float(len(asked)),
        "mean metric": float(asked.mean()),
        "standard deviation of the metric": float(asked.std()),
        "standard deviation of the weight at one position": float(spread_D.mean()),
        "difference of the largest and the smallest mean weight by position": float(np.ptp(mean_D)),
    }
    evidence.numbers("prompts", numbers, "A score is the mean over the groups of a document of size x weight x metric.")
