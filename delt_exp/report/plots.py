"""The pictures of a run: scores, the order they were trained in, the loss, and the evaluation."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from delt_exp.report import numbers
from delt_exp.report.evidence_plot import HEIGHT_INCHES, evidence_plots
from delt_exp.report.facts import loss_unit
from delt_exp.report.score_plots import along_order, by_source, by_source_inches, histogram
from delt_exp.report.style import INK, KEPT, LINE, count_ticks, draw
from delt_exp.statistics.smoothing import smooth
from delt_exp.store.evidence import Evidence
from delt_exp.trainer.metrics_file import MetricsFile


def write_plots(folder: Path, record: Mapping[str, Any]) -> dict[str, Path]:
    """Draw every picture this run has data for into `folder/plots` and return name -> PNG, in reading order."""
    scores = _column(folder / "scores.parquet", "score")
    order = {name: _column(folder / "order.parquet", name) for name in ("row", "score", "tokens", "step")}
    rows, evidence = MetricsFile(folder / "metrics.csv").rows(), Evidence(folder / "evidence")
    meaning, families = record["score"], metric_families(record["results"])
    many, inches = len(meaning["by_source"]) > 1, by_source_inches(meaning["by_source"])
    pictures: dict[str, tuple[bool, float, Callable[[Figure], None]]] = {
        "score_histogram": (True, 3.3, lambda figure: histogram(figure, meaning, scores, order["row"])),
        "score_by_source": (many, inches, lambda figure: by_source(figure, meaning, scores)),
        **{f"scorer_{name}": (True, HEIGHT_INCHES, paint) for name, paint in evidence_plots(evidence).items()},
        "score_along_order": (True, 3.5, lambda figure: along_order(figure, meaning, order)),
        "loss_curve": (bool(rows), 4.0, lambda figure: _loss(figure, _whole_batches(rows), loss_unit(record))),
        "evaluation_bars": (bool(families), sum(_heights(families)), lambda figure: _evaluation(figure, families)),
    }
    (folder / "plots").mkdir(exist_ok=True)
    paths = {name: folder / "plots" / f"{name}.png" for name, (has_data, *_) in pictures.items() if has_data}
    for name, path in paths.items():
        _, height_inches, paint = pictures[name]
        draw(paint, height_inches, path)
    return paths


def _column(path: Path, name: str) -> NDArray[Any]:
    import pyarrow.parquet as pq

    column: NDArray[Any] = pq.read_table(path, columns=[name])[name].to_numpy()
    return column


def _loss(figure: Figure, rows: list[dict[str, float]], unit: str) -> None:
    tokens, loss, rate = (np.array([row[name] for row in rows]) for name in ("tokens", "train/loss", "train/lr"))
    top, bottom = figure.subplots(2, sharex=True, height_ratios=(4, 1))
    marker = "o" if len(rows) == 1 else None
    top.plot(tokens, loss, color=KEPT, alpha=0.35, linewidth=1, marker=marker, label="each logged batch")
    top.plot(tokens, smooth(loss), color=KEPT, linewidth=2.2, label="smoothed")
    bottom.plot(tokens, rate, color=LINE, linewidth=1.5, marker=marker)
    top.set(ylabel=f"training loss [{unit}]", xlim=(0, tokens[-1]))
    bottom.set(ylabel="learning rate", xlabel="tokens trained", ylim=(0, 1.15 * max(rate.max(), 1e-12)))
    bottom.yaxis.set_major_formatter("{x:.2g}")
    count_ticks(bottom, "x")
    top.legend()
    figure.align_ylabels()


def _whole_batches(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """Leave out the last batch when it is less than half as large as the one before: its loss says little."""
    sizes = np.diff([0.0, *(row["tokens"] for row in rows)])
    return rows[:-1] if len(rows) > 2 and sizes[-1] < sizes[-2] / 2 else rows


def metric_families(results: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the results that share a unit together; perplexity is left out, being the exponential of the loss."""
    families: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        if result["metric"] != "perplexity":
            families.setdefault(result["unit"], []).append(result)
    return families


def _heights(families: Mapping[str, list[dict[str, Any]]]) -> list[float]:
    """Return the inches of each panel of bars, title and axis included."""
    return [0.85 + 0.36 * len(family) for family in families.values()]


def _evaluation(figure: Figure, families: Mapping[str, list[dict[str, Any]]]) -> None:
    panels = figure.subplots(len(families), squeeze=False, height_ratios=_heights(families))[:, 0]
    for axes, (unit, family) in zip(panels, families.items(), strict=True):
        metrics = list(dict.fromkeys(result["metric"] for result in family))
        better = " or ".join(sorted({result["better"] for result in family}))
        axes.set_title(f"{', '.join(metrics).replace('_', ' ')} [{unit}], {better} is better")
        names = [r["dataset"] if len(metrics) == 1 else f"{r['dataset']} · {r['metric']}" for r in family]
        axes.set_yticks(range(len(family)), names, color=INK, fontsize=10)
        for y, result in enumerate(family):
            value, stderr = result["value"], result["stderr"]
            axes.barh(y, value, height=0.62, color=KEPT, alpha=0.8)
            axes.errorbar(value, y, xerr=stderr, fmt="none", ecolor=INK, elinewidth=1.4, capsize=3)
            where = {"xy": (max(value, 0) + (stderr or 0), y), "xytext": (7, 0), "textcoords": "offset points"}
            axes.annotate(numbers.value(value, stderr), **where, va="center", fontsize=9, color=INK)
        axes.set(ylim=(len(family) - 0.4, -0.6), xmargin=0.2)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
