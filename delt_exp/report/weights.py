"""Which sources the weights of a run preferred, from what its proof of order recorded.

I items of a plan, S sources.
"""

import numpy as np
from numpy.typing import NDArray

from delt_exp.report.outcome import Outcome
from delt_exp.store.evidence import Evidence, Figure

NUM_PARTS, NUM_SOURCES = 10, 6


def show_weights_by_source(evidence: Evidence, outcome: Outcome) -> None:
    """Leave the mean weight of each source over the course of training; nothing where all weights or sources are one.

    A sequence that holds several documents counts for the source of the first. Preferences have no such weights: what
    enters the loss of a pair is the difference of its sides.
    """
    plan = outcome.plan
    if plan.rows_per_sample == 2:
        return
    consumed = np.load(outcome.model.folder / "consumed.npy", allow_pickle=False)
    has_label = np.isfinite(consumed["least_weight"])
    consumed = consumed[has_label]
    weights_I = consumed["least_weight"] * plan.labels_per_step()[consumed["step"]]
    corpus = outcome.candidates.corpus
    codes_I = corpus.source_codes[plan.order[consumed["first"]]]
    codes, counts = np.unique(codes_I, return_counts=True)
    if np.allclose(weights_I, 1, rtol=1e-4) or len(codes) < 2:
        return
    largest = codes[np.argsort(-counts, kind="stable")][:NUM_SOURCES]
    names = [corpus.meta["sources"][code] or "(no name)" for code in largest]
    part_I = consumed["step"] * NUM_PARTS // plan.num_steps
    mean_SP = np.array([_means(weights_I[codes_I == code], part_I[codes_I == code]) for code in largest])
    evidence.table(
        "weights_over_time",
        {"trained_percent": (np.arange(NUM_PARTS) + 0.5) * 100 / NUM_PARTS, **dict(zip(names, mean_SP, strict=True))},
        "Mean weight of the sequences of each source in each tenth of the training run.",
    )
    figure = Figure(
        "Weights by source", "weights_over_time", "line", "trained_percent", tuple(names), "part of the steps [%]",
        "mean weight",
    )  # fmt: skip
    caption = (
        "Above 1, a sequence of the source counted more than the average one; below 1, less. All sources at 1 is "
        "training without weights."
    )
    evidence.figure("weights_by_source", figure, caption)
    of_source = [codes_I == code for code in largest]
    columns = {
        "source": names,
        "sequences": [int(which.sum()) for which in of_source],
        "mean_weight": [float(weights_I[which].mean()) for which in of_source],
        "mean_weight_at_the_end": mean_SP[:, -1],
    }
    evidence.table("weights_by_source", columns, "The largest sources; the end is the last tenth of the steps.")


def _means(weights: NDArray[np.float64], parts: NDArray[np.int64]) -> NDArray[np.float64]:
    counts, sums = np.bincount(parts, minlength=NUM_PARTS), np.bincount(parts, weights, NUM_PARTS)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
