"""The pictures of a run: scores, the order they were trained in, the loss, and the evaluation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from delt_exp.files import written_aside
from delt_exp.metrics_file import MetricsFile
from delt_exp.report import numbers
from delt_exp.report.style import DROPPED, INK, KEPT, LINE, MUTED, count_ticks, draw

Floats = NDArray[np.floating[Any]]
NUM_BARS, NUM_POINTS, NUM_SOURCES = 60, 20_000, 20
EDGE_SHARE = 0.001  # of the documents at either end may lie outside a picture, if they are far away


def write_plots(folder: Path, record: Mapping[str, Any]) -> dict[str, Path]:
    """Draw every picture this run has data for into `folder/plots` and return name -> PNG, in reading order."""
    scores = _column(folder / "scores.parquet", "score")
    order = {name: _column(folder / "order.parquet", name) for name in ("row", "score", "tokens", "step")}
    rows = MetricsFile(folder / "metrics.csv").rows()
    view = View.of(scores, record["score"])
    sources, families = record["score"]["by_source"], metric_families(record["results"])
    pictures: dict[str, tuple[float, Callable[[Figure], None]]] = {
        "score_histogram": (3.3, lambda figure: _histogram(figure, view, scores, order["row"])),
        "score_by_source": (1.1 + 0.42 * min(len(sources), NUM_SOURCES), lambda figure: _sources(figure, view, sources)),
        "score_along_order": (3.5, lambda figure: _along_order(figure, view, order)),
        "loss_curve": (4.0, lambda figure: _loss(figure, rows)),
        "evaluation_bars": (_bars_height(families), lambda figure: _evaluation(figure, families)),
    }
    missing = {"score_by_source": len(sources) < 2, "loss_curve": not rows, "evaluation_bars": not families}
    (folder / "plots").mkdir(exist_ok=True)
    return {
        name: _save(draw(paint, height), folder / "plots" / f"{name}.png")
        for name, (height, paint) in pictures.items()
        if not missing.get(name)
    }


def _column(path: Path, name: str) -> NDArray[Any]:
    import pyarrow.parquet as pq

    column: NDArray[Any] = pq.read_table(path, columns=[name])[name].to_numpy()
    return column


def _save(figure: Figure, path: Path) -> Path:
    with written_aside(path) as aside:
        figure.savefig(aside, format="png")
    return path


def _loss(figure: Figure, rows: list[dict[str, float]]) -> None:
    tokens, loss, rate = (np.array([row[name] for row in rows]) for name in ("tokens", "train/loss", "train/lr"))
    top, bottom = figure.subplots(2, sharex=True, height_ratios=(4, 1))
    marker = "o" if len(rows) == 1 else None
    top.plot(tokens, loss, color=KEPT, alpha=0.35, linewidth=1, marker=marker, label="each logged batch")
    top.plot(tokens, smooth(loss), color=KEPT, linewidth=2.2, label="smoothed")
    bottom.plot(tokens, rate, color=LINE, linewidth=1.5, marker=marker)
    top.set(ylabel="training loss [nats/token]", xlim=(0, tokens[-1]))
    bottom.set(ylabel="learning rate", xlabel="tokens trained", ylim=(0, 1.15 * max(rate.max(), 1e-12)))
    bottom.ticklabel_format(axis="y", scilimits=(-3, 3))
    count_ticks(bottom, "x")
    top.legend()
    figure.align_ylabels()


def smooth(values: Floats) -> Floats:
    """Return the mean of each value and its neighbours, a 20th of all to either side; fewer at the ends."""
    half = len(values) // 20
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    reach = np.minimum(np.minimum(at, at[::-1]), half)  # symmetric, so that the ends of a slope are not bent
    return np.asarray((sums[at + reach + 1] - sums[at - reach]) / (2 * reach + 1))


def metric_families(results: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the results that share a unit together; perplexity is left out, being the exponential of the loss."""
    families: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        if result["metric"] != "perplexity":
            families.setdefault(result["unit"], []).append(result)
    return families


def _bars_height(families: Mapping[str, list[dict[str, Any]]]) -> float:
    return sum(0.85 + 0.36 * len(family) for family in families.values()) + 0.1


def _evaluation(figure: Figure, families: Mapping[str, list[dict[str, Any]]]) -> None:
    heights = [0.85 + 0.36 * len(family) for family in families.values()]
    panels = figure.subplots(len(families), squeeze=False, height_ratios=heights)[:, 0]
    for axes, (unit, family) in zip(panels, families.items(), strict=True):
        metrics = {result["metric"] for result in family}
        several = len(metrics) > 1
        names = [f"{r['dataset']} · {r['metric']}" if several else r["dataset"] for r in family]
        values, errors = [r["value"] for r in family], [r["stderr"] or 0.0 for r in family]
        axes.barh(range(len(family)), values, height=0.62, color=KEPT, alpha=0.8)
        axes.errorbar(values, range(len(family)), xerr=errors, fmt="none", ecolor=INK, elinewidth=1.4, capsize=3)
        for y, result in enumerate(family):
            end = result["value"] + (result["stderr"] or 0.0)
            label = numbers.value(result["value"], result["stderr"])
            axes.annotate(label, (end, y), (7, 0), textcoords="offset points", va="center", fontsize=9, color=INK)
        better = " or ".join(sorted({r["better"] for r in family}))
        axes.set_title(f"{'accuracy and others' if several else metrics.pop()} [{unit}], {better} is better")
        axes.set_yticks(range(len(family)), names, color=INK, fontsize=10)
        axes.set(ylim=(len(family) - 0.4, -0.6), xmargin=0.14)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
