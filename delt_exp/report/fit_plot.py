"""How well a data scorer learned what the annotator said."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from matplotlib.figure import Figure

from delt_exp.data_scorer.validation import in_words
from delt_exp.report.style import DROPPED, KEPT, LINE, MUTED


def fit(figure: Figure, folder: Path, meaning: Mapping[str, Any]) -> None:
    """Draw predicted against annotated scores of a run's `fit.parquet`, those it did not learn from on top."""
    table = pq.read_table(folder / "fit.parquet")
    annotated, predicted, split = (table[name].to_numpy() for name in ("annotated", "predicted", "split"))
    axes = figure.subplots()
    judged = in_words(meaning["fit"]["validation"])
    for name, label, color in (
        ("train", "learnt from", DROPPED),
        ("choice", "chose the epoch", LINE),
        ("validation", judged, KEPT),
        ("out of fold", judged, KEPT),
    ):
        part = split == name
        if not part.any():
            continue
        axes.scatter(annotated[part], predicted[part], s=14, color=color, alpha=0.8, linewidths=0, label=label)
    axes.axline((float(annotated.mean()), float(annotated.mean())), slope=1, color=MUTED, linewidth=1, linestyle="--")
    axes.set(xlabel=f"annotated {meaning['name']}", ylabel="predicted")
    axes.legend()
