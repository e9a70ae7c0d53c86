"""The pictures of a run: scores, the order they were trained in, the loss, and the evaluation."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from delt_exp.report import numbers
from delt_exp.report.evidence_plot import HEIGHT_INCHES, evidence_plots
from delt_exp.report.facts import loss_unit
from delt_exp.report.score_plots import along_order, by_source, by_source_inches, histogram
from delt_exp.report.style import FAINT, INK, KEPT, LINE, MUTED, count_ticks, draw
from delt_exp.statistics.smoothing import smooth
from delt_exp.store.evidence import Evidence
from delt_exp.trainer.metrics_file import MetricsFile

FORMS_OF_LOSS = ("perplexity", "bits_per_byte")
REFERENCES = {"uniform": "all tokens equally likely", "unigram": "token frequencies of the candidates"}


def write_plots(folder: Path, record: Mapping[str, Any]) -> dict[str, Path]:
    """Draw every picture this run has data for into `folder/plots` and return name -> PNG, in reading order."""
    scores = _column(folder / "scores.parquet", "score")
    order = {name: _column(folder / "order.parquet", name) for name in ("row", "score", "tokens", "step")}
    rows, evidence = MetricsFile(folder / "metrics.csv").rows(), Evidence(folder / "evidence")
    meaning, families = record["score"], metric_families(record["results"])
    baseline = {(row["dataset"], row["metric"]): row for row in (record.get("baseline") or {}).get("results", [])}
    many, inches = len(meaning["by_source"]) > 1, by_source_inches(meaning["by_source"])
    pictures: dict[str, tuple[bool, float, Callable[[Figure], None]]] = {
        "score_histogram": (True, 3.3, lambda figure: histogram(figure, meaning, scores, order["row"])),
        "score_by_source": (many, inches, lambda figure: by_source(figure, meaning, scores)),
        **{f"scorer_{name}": (True, HEIGHT_INCHES, paint) for name, paint in evidence_plots(evidence).items()},
        "score_along_order": (True, 3.5, lambda figure: along_order(figure, meaning, order)),
        "loss_curve": (bool(rows), 4.0, lambda figure: _loss(figure, _whole_batches(rows), loss_unit(record))),
        "evaluation": (
            bool(families),
            sum(_heights(families)),
            lambda figure: _evaluation(figure, families, baseline, record.get("references", {})),
        ),
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
    top.plot(tokens, loss, color=KEPT, alpha=FAINT, linewidth=0.8, marker=marker, label="each logged batch")
    top.plot(tokens, smooth(loss), color=KEPT, linewidth=2.2, label="mean of those before")
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
    """Return the results that share a unit together; other forms of the loss, beside it, are left out."""
    families: dict[str, list[dict[str, Any]]] = {}
    with_loss = {result["dataset"] for result in results if result["metric"] == "loss"}
    for result in results:
        if result["metric"] not in FORMS_OF_LOSS or result["dataset"] not in with_loss:
            families.setdefault(result["unit"], []).append(result)
    return families


def _heights(families: Mapping[str, list[dict[str, Any]]]) -> list[float]:
    """Return the inches of each panel, title, legend and axis included."""
    return [1.15 + 0.36 * len(family) for family in families.values()]


def _evaluation(
    figure: Figure,
    families: Mapping[str, list[dict[str, Any]]],
    baseline: Mapping[tuple[str, str], Mapping[str, Any]],
    references: Mapping[str, Mapping[str, float]],
) -> None:
    """Show every result as a point, beside what it is compared with: the baseline, and losses that need no model."""
    panels = figure.subplots(len(families), squeeze=False, height_ratios=_heights(families))[:, 0]
    for axes, (unit, family) in zip(panels, families.items(), strict=True):
        metrics = list(dict.fromkeys(result["metric"] for result in family))
        better = " or ".join(sorted({result["better"] for result in family}))
        axes.set_title(f"{', '.join(metrics).replace('_', ' ')} [{unit}], {better} is better", pad=26)
        names = [r["dataset"] if len(metrics) == 1 else f"{r['dataset']} · {r['metric']}" for r in family]
        axes.set_yticks(range(len(family)), names, color=INK, fontsize=10)
        for y, result in enumerate(family):
            if result["metric"] == "loss":
                _references(axes, y, references.get(result["dataset"], {}))
            _points(axes, y, result, baseline.get((result["dataset"], result["metric"])))
        axes.set(ylim=(len(family) - 0.4, -0.6), xmargin=0.12)
        axes.tick_params(axis="y", length=0)
        handles, labels = axes.get_legend_handles_labels()
        once = dict(zip(labels, handles, strict=True))
        axes.legend(once.values(), once.keys(), loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0)


def _points(axes: Axes, y: int, result: Mapping[str, Any], other: Mapping[str, Any] | None) -> None:
    if other is not None:
        axes.plot([result["value"], other["value"]], [y, y], color=MUTED, linewidth=1, zorder=1)
        axes.plot(other["value"], y, "D", color="white", markeredgecolor=LINE, markersize=7, label="baseline")
    value, stderr = result["value"], result["stderr"]
    axes.errorbar(value, y, xerr=stderr, fmt="o", color=KEPT, markersize=8, elinewidth=1.6, label="this run")
    axes.annotate(
        numbers.value(value, stderr), (value, y), (0, 7), textcoords="offset points", ha="center", va="bottom",
        fontsize=9, color=INK,
    )  # fmt: skip


def _references(axes: Axes, y: int, known: Mapping[str, float]) -> None:
    for name, marker in (("uniform", "|"), ("unigram", "x")):
        if name in known:
            axes.plot(known[name], y, marker, color=MUTED, markersize=9, linestyle="none", label=REFERENCES[name])
