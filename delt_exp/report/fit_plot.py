"""How well a data scorer learned what the annotator said."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from matplotlib.figure import Figure

from delt_exp.report.style import DROPPED, KEPT, MUTED


def fit(figure: Figure, folder: Path, meaning: Mapping[str, Any]) -> None:
    """Draw predicted against annotated scores of a run's `fit.parquet`, documents held out on top."""
    table = pq.read_table(folder / "fit.parquet")
    annotated, predicted, split = (table[name].to_numpy() for name in ("annotated", "predicted", "split"))
    axes = figure.subplots()
    for name, color in (("train", DROPPED), ("validation", KEPT)):
        part = split == name
        label = f"{name}: {part.sum()} documents, Spearman {meaning['fit'][name]['spearman']:.2f}"
        axes.scatter(annotated[part], predicted[part], s=14, color=color, alpha=0.8, linewidths=0, label=label)
    axes.axline((float(annotated.mean()), float(annotated.mean())), slope=1, color=MUTED, linewidth=1, linestyle="--")
    axes.set(xlabel=f"annotated {meaning['name']}", ylabel="predicted")
    axes.legend()
