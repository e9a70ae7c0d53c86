"""What a scorer of influence shows of its work. C checkpoints, R documents, S groups of shots."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.progress import say
from delt_exp.scorer.influence.passes import Passes
from delt_exp.store.evidence import Evidence, Figure

TOP = 0.05  # the share of documents that LESS keeps
MOSTLY = 0.5


@dataclass(frozen=True, eq=False)
class Findings:
    """num_shots: of each group. per_group_RS: scores of all documents. cosine_CRS: of those that were read."""

    num_shots: Mapping[str, int]
    per_group_RS: NDArray[np.float64]
    cosine_CRS: NDArray[Any]


def show_influence(passes: Passes, found: Findings) -> None:
    """Leave the scores of each group, what each checkpoint added, and what was read."""
    evidence = passes.pool.evidence
    read_RS = found.per_group_RS[passes.is_readable_R]
    best_R = read_RS.argmax(1)
    _show_documents(evidence, passes, found)
    _show_groups(evidence, found.num_shots, read_RS, best_R)
    _show_checkpoints(evidence, passes, found, best_R)
    tokens, rows = passes.candidates, passes.read_rows
    sizes: dict[str, float | str | None] = {
        "documents": len(passes.rows),
        "without_label": int((~passes.is_readable_R).sum()),
        "longer_than_context": int((tokens.lengths[rows] + 1 > passes.context_tokens).sum()),
        "context_tokens": passes.context_tokens,
        "gamma": passes.gamma.form,
        "momentum": "yes" if passes.gamma.has_momentum else "no",
    }
    evidence.numbers("influence", sizes, "What was read: of a document longer than the context, its beginning.")


def _show_documents(evidence: Evidence, passes: Passes, found: Findings) -> None:
    ids = np.asarray(passes.candidates.ids[passes.rows])
    scores = {f"group {name}": found.per_group_RS[:, s].astype(np.float32) for s, name in enumerate(found.num_shots)}
    evidence.table(
        "influence_of_groups",
        {"id": ids, **scores},
        "Each document's score for each group, of which it gets the largest.",
    )


def _show_groups(
    evidence: Evidence, num_shots: Mapping[str, int], read_RS: NDArray[np.float64], best_R: NDArray[np.intp]
) -> None:  # fmt: skip
    size = max(1, round(TOP * len(best_R)))
    groups = {
        "group": list(num_shots),
        "shots": list(num_shots.values()),
        "best_for_documents": np.bincount(best_R, minlength=len(num_shots)),
        "mean_score": read_RS.mean(0),
        "mean_of_top": np.sort(read_RS, 0)[-size:].mean(0),
    }
    evidence.table(
        "groups", groups, "Groups of the target, over the documents that were read: for how many each is the best, and "
        "the scores for it.",
    )  # fmt: skip


def _show_checkpoints(evidence: Evidence, passes: Passes, found: Findings, best_R: NDArray[np.intp]) -> None:
    """What each checkpoint adds to the scores, with the share of coordinates below the floor of `official`."""
    weights_C = np.array([state.weight for state in passes.states])
    added_CR = weights_C[:, None] * np.take_along_axis(found.cosine_CRS, best_R[None, :, None], axis=2)[..., 0]
    top_R = np.argsort(-added_CR.sum(0), kind="stable")[: max(1, round(TOP * added_CR.shape[1]))]
    floors = passes.shares_below_floor()
    steps = [state.checkpoint.step for state in passes.states]
    columns = {
        "step": steps,
        "mean_lr": [state.lr for state in passes.states],
        "weight": weights_C,
        "all_documents": added_CR.mean(1),
        "best_documents": added_CR[:, top_R].mean(1),
        "below_floor": floors,
    }
    evidence.table(
        "checkpoints", columns,
        "What each checkpoint adds to the score of all documents and of the best 5 %; below_floor: the share of "
        "coordinates whose second moment is below 1e-8, the constant in the root of the published Gamma.",
    )  # fmt: skip
    figure = Figure(
        "What each checkpoint adds", "checkpoints", "line", "step", ("all_documents", "best_documents"), "updates",
        "weight x cosine",
    )  # fmt: skip
    caption = (
        "Checkpoints add up to the score. Where the best 5 % are above the mean, a checkpoint distinguishes "
        "documents; where they are not, the warm-up run is too short or the target too broad."
    )
    evidence.figure("checkpoints", figure, caption)
    if known := [floor for floor in floors if floor is not None]:
        _say_floor(evidence, max(known), is_official=passes.gamma.form == "official")


def _say_floor(evidence: Evidence, share: float, is_official: bool) -> None:
    if is_official and share > MOSTLY:
        evidence.warn(
            f"scorer.gamma=official: {share:.0%} of the coordinates have a second moment below its constant of "
            "1e-8, where it is momentum and not Adam; scorer.gamma=adam has no such floor"
        )
    else:
        found = f"at most {share:.0%} of the coordinates of a checkpoint have a second moment below 1e-8"
        say(f"{found}: there the published step is momentum and not Adam")
        evidence.remark(f"{found.capitalize()}, where the published Gamma is momentum and not Adam.")
