"""Which sources the weights of a run preferred, from what its proof of order recorded.

I sequences with a label.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from delt_exp.report.outcome import Outcome
from delt_exp.store.evidence import Evidence, Figure

NUM_PARTS, NUM_SOURCES = 10, 6


class _Weights(NamedTuple):
    """The weight [I] of every sequence with a label, the source [I] it counts for, and its tenth [I] of the steps."""

    weights_I: NDArray[np.float64]
    sources_I: NDArray[np.int64]
    part_I: NDArray[np.int64]

    def means(self, source: int) -> NDArray[np.float64]:
        """Return the mean weight of a source in each tenth, NaN where it has no sequence."""
        is_source = self.sources_I == source
        parts_I, weights_I = self.part_I[is_source], self.weights_I[is_source]
        counts, sums = np.bincount(parts_I, minlength=NUM_PARTS), np.bincount(parts_I, weights_I, NUM_PARTS)
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def show_weights_by_source(evidence: Evidence, outcome: Outcome) -> None:
    """Leave the mean weight of each source over the course of training; nothing where all weights or sources are one.

    A sequence that holds several documents counts for the source of the first. Preferences have no such weights: what
    enters the loss of a pair is the difference of its sides.
    """
    if outcome.plan.rows_per_sample == 2:
        return
    trained = _weights(outcome)
    sources, counts = np.unique(trained.sources_I, return_counts=True)
    if np.allclose(trained.weights_I, 1, rtol=1e-4) or len(sources) < 2:
        return
    largest = sources[np.argsort(-counts, kind="stable")][:NUM_SOURCES]
    known = outcome.candidates.corpus.meta["sources"]
    means_of = {known[source] or "(no name)": trained.means(source) for source in largest}
    _show_course(evidence, means_of)
    weights_of = [trained.weights_I[trained.sources_I == source] for source in largest]
    columns = {
        "source": list(means_of),
        "sequences": [len(weights) for weights in weights_of],
        "mean_weight": [float(weights.mean()) for weights in weights_of],
        "mean_weight_at_the_end": np.array([means[-1] for means in means_of.values()]),
    }
    evidence.table("weights_by_source", columns, "The largest sources; the end is the last tenth of the steps.")


def _weights(outcome: Outcome) -> _Weights:
    plan = outcome.plan
    consumed = np.load(outcome.model.folder / "consumed.npy", allow_pickle=False)
    consumed = consumed[np.isfinite(consumed["least_weight"])]
    return _Weights(
        weights_I=consumed["least_weight"] * plan.labels_per_step()[consumed["step"]],
        sources_I=outcome.candidates.corpus.source_codes[plan.order[consumed["first"]]],
        part_I=consumed["step"] * NUM_PARTS // plan.num_steps,
    )


def _show_course(evidence: Evidence, means_of: Mapping[str, NDArray[np.float64]]) -> None:
    """Leave the mean weight of each source in each tenth of the steps, as a table and as lines."""
    evidence.table(
        "weights_over_time",
        {"trained_percent": (np.arange(NUM_PARTS) + 0.5) * 100 / NUM_PARTS, **means_of},
        "Mean weight of the sequences of each source in each tenth of the training run.",
    )
    figure = Figure(
        "Weights by source", "weights_over_time", "line", "trained_percent", tuple(means_of), "part of the steps [%]",
        "mean weight",
    )  # fmt: skip
    caption = (
        "Above 1, a sequence of the source counted more than the average one; below 1, less. All sources at 1 is "
        "training without weights."
    )
    evidence.figure("weights_by_source", figure, caption)
