"""Pictures of scores: their distribution, by source, and along the order of training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from delt_exp.report import numbers
from delt_exp.report.style import DROPPED, INK, KEPT, LINE, MUTED, count_ticks

Floats = NDArray[np.floating[Any]]
NUM_BARS, NUM_POINTS, NUM_SOURCES = 60, 20_000, 20
EDGE_SHARE = 0.001  # of the documents at either end may lie outside a picture, if they are far away


@dataclass(frozen=True)
class View:
    """The part of the score axis that is shown, how it is scaled, and how it is labelled."""

    low: float
    high: float
    log: bool
    label: str
    better: str

    @classmethod
    def of(cls, scores: Floats, meaning: Mapping[str, Any]) -> "View":
        """Show all scores, unless the outermost thousandth would squeeze the others into half of the picture."""
        ends = np.quantile(scores, [0, EDGE_SHARE, 1 - EDGE_SHARE, 1]).astype(float)
        log = bool(ends[0] > 0 and ends[2] > 50 * ends[1])
        low, inner_low, inner_high, high = np.log(ends) if log else ends
        inner = inner_high - inner_low
        if high - low > 2 * inner > 0:
            low, high = max(low, inner_low - inner / 4), min(high, inner_high + inner / 4)
        low, high = (float(np.exp(low)), float(np.exp(high))) if log else (float(low), float(high))
        unit = f" [{meaning['unit']}]" if meaning["unit"] else ""
        pad = 0.5 if low == high else 0.0
        return cls(low - pad, high + pad, log, f"{meaning['name']}{unit}", meaning["better"])

    def edges(self, whole_numbers: bool) -> Floats:
        """Return the bounds of the bars; bars of whole numbers all hold equally many of them."""
        if self.log:
            return np.geomspace(self.low, self.high, NUM_BARS + 1)
        if whole_numbers:
            step = max(1.0, np.ceil((self.high - self.low) / NUM_BARS))
            return np.arange(np.floor(self.low), self.high + step, step) - 0.5
        return np.linspace(self.low, self.high, NUM_BARS + 1)

    def apply(self, axes: Axes, axis: str) -> None:
        """Scale and label the x or y axis of a picture as the score axis."""
        arrow = {("x", "higher"): "better →", ("x", "lower"): "← better", ("y", "higher"): "better →", ("y", "lower"): "← better"}
        getattr(axes, f"set_{axis}label")(f"{self.label}   {arrow[axis, self.better]}")
        if self.log:
            getattr(axes, f"set_{axis}scale")("log")

    def note(self, scores: Floats) -> str:
        """Return what is said of the documents beyond the picture, empty where there are none."""
        outside = int(np.count_nonzero((scores < self.low) | (scores > self.high)))
        return f"{numbers.count(outside)} documents lie beyond the axis" if outside else ""


def histogram(figure: Figure, view: View, scores: Floats, kept_rows: NDArray[np.integer[Any]]) -> None:
    axes = figure.subplots()
    edges = view.edges(bool(np.all(scores == np.round(scores))))
    kept, every = (np.histogram(part, edges)[0] for part in (scores[kept_rows], scores))
    dropped = len(scores) - len(kept_rows)
    axes.stairs(every, edges, fill=True, color=DROPPED, label=f"dropped ({numbers.count(dropped)})" if dropped else None)
    axes.stairs(kept, edges, fill=True, color=KEPT, label=f"kept ({numbers.count(len(kept_rows))})")
    view.apply(axes, "x")
    axes.set(ylabel="documents", xlim=(edges[0], edges[-1]), ylim=(0, None))
    axes.grid(axis="x", visible=False)
    median = float(np.median(scores))
    axes.axvline(median, color=INK, linewidth=1, linestyle=(0, (4, 3)), label=f"median {numbers.value(median)}")
    axes.legend(title=view.note(scores), title_fontsize=8)
    count_ticks(axes, "y")


def by_source(figure: Figure, view: View, sources: Mapping[str, Mapping[str, Any]]) -> None:
    largest = sorted(sources.items(), key=lambda item: -item[1]["documents"])[:NUM_SOURCES]
    axes = figure.subplots()
    for y, (_, source) in enumerate(largest):
        at = {level: float(value) for level, value in source["quantiles"].items()}
        axes.plot([at["0.05"], at["0.95"]], [y, y], color=MUTED, linewidth=1.2)
        axes.barh(y, at["0.75"] - at["0.25"], left=at["0.25"], height=0.5, color=KEPT, alpha=0.35)
        axes.plot([at["0.5"]] * 2, [y - 0.25, y + 0.25], color=KEPT, linewidth=2.4, solid_capstyle="butt")
        kept = f"{numbers.count(source['kept'])} of {numbers.count(source['documents'])} kept"
        axes.annotate(
            f"{kept} ({numbers.share(source['kept'], source['documents'])})", (1.01, y), xycoords=("axes fraction", "data"),
            va="center", fontsize=9, color=MUTED, annotation_clip=False,
        )  # fmt: skip
    axes.set_yticks(range(len(largest)), [name or "(no name)" for name, _ in largest], color=INK, fontsize=10)
    axes.set_ylim(len(largest) - 0.4, -0.6)
    view.apply(axes, "x")
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    if len(sources) > NUM_SOURCES:
        axes.set_title(f"the {NUM_SOURCES} largest of {len(sources)} sources")


def along_order(figure: Figure, view: View, order: Mapping[str, NDArray[Any]]) -> None:
    axes, scores = figure.subplots(), order["score"]
    tokens = np.cumsum(order["tokens"] + 1) - order["tokens"] - 1  # one end-of-text token after each document
    if len(scores) <= NUM_POINTS:
        size = float(np.clip(12_000 / len(scores), 1.5, 12))
        axes.scatter(tokens, scores, s=size, color=KEPT, alpha=0.35, linewidths=0, label="one document")
    else:
        _density(axes, view, tokens, scores)
    x, low, middle, high = _running(tokens, scores)
    axes.fill_between(x, low, high, color=LINE, alpha=0.16, linewidth=0, label="middle half of neighbours")
    axes.plot(x, middle, color=LINE, label="running median")
    if (order["step"] < 0).any():
        axes.axvspan(tokens[order["step"] < 0].min(), tokens[-1], color=DROPPED, alpha=0.4, linewidth=0, label="never reached")
    view.apply(axes, "y")
    axes.set(xlabel="tokens trained before the document, first pass", xlim=(0, max(tokens[-1], 1)))
    if not view.log:
        margin = 0.03 * (view.high - view.low)
        axes.set_ylim(view.low - margin, view.high + margin)
    count_ticks(axes, "x")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0, title_fontsize=8)


def _density(axes: Axes, view: View, tokens: Floats, scores: Floats) -> None:
    """Shade how many documents fall on each spot; points would hide one another."""
    y_edges = np.geomspace(view.low, view.high, 81) if view.log else np.linspace(view.low, view.high, 81)
    counts, x_edges, _ = np.histogram2d(tokens, scores, bins=(np.linspace(0, max(tokens[-1], 1), 301), y_edges))
    shaded = np.ma.masked_equal(counts.T, 0)
    axes.pcolormesh(x_edges, y_edges, shaded, cmap="Blues", norm="log", alpha=0.9, rasterized=True)


def _running(tokens: Floats, scores: Floats) -> NDArray[np.float64]:
    """Return tokens, lower quartile, median and upper quartile of up to 200 groups of neighbours in the order."""
    groups = np.array_split(np.arange(len(scores)), min(200, max(len(scores) // 8, 1)))
    table = [(tokens[g].mean(), *np.quantile(scores[g], [0.25, 0.5, 0.75])) for g in groups]
    return np.array(table, np.float64).T
