"""Pictures of scores: their distribution, by source, and along the order of training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from delt_exp.report import numbers
from delt_exp.report.facts import largest_sources
from delt_exp.report.style import DROPPED, FAINT, INK, KEPT, LINE, MUTED, count_ticks

Floats = NDArray[np.floating[Any]]
NUM_BARS, NUM_POINTS = 60, 20_000
EDGE_SHARE = 0.001  # of the documents at either end may lie outside a picture, if they are far away


def score_label(meaning: Mapping[str, Any]) -> str:
    """Return the label of an axis of scores: name, unit, and where the better ones are."""
    unit = f" [{meaning['unit']}]" if meaning["unit"] != "none" else ""
    # Text on a y axis runs upwards, so that the same arrows point to higher scores there.
    return f"{meaning['name']}{unit}   {'better →' if meaning['better'] == 'higher' else '← better'}"


def _leans_less_in_logarithms(scores: Floats, low: float, high: float) -> bool:
    """Return whether the median lies nearer to the middle between `low` and `high` on a logarithmic axis.

    Uniform scores reach almost to 0, so that their ratio is large and yet a linear axis shows them best.
    """
    median = float(np.median(scores))
    linear, logarithmic = (median - low) / (high - low), np.log(median / low) / np.log(high / low)
    return bool(abs(logarithmic - 0.5) < abs(linear - 0.5))


@dataclass(frozen=True)
class View:
    """The part of the score axis that is shown, how it is scaled, and how it is labelled."""

    low: float
    high: float
    log: bool
    label: str

    @classmethod
    def of(cls, scores: Floats, meaning: Mapping[str, Any]) -> "View":
        """Show all scores, unless the outermost thousandths would squeeze the others into half of the picture."""
        ends = np.quantile(scores, [0, EDGE_SHARE, 1 - EDGE_SHARE, 1]).astype(float)
        log = bool(ends[0] > 0 and ends[2] > 50 * ends[1] and _leans_less_in_logarithms(scores, ends[1], ends[2]))
        scale, unscale = (np.log, np.exp) if log else (np.positive, np.positive)
        outer_low, inner_low, inner_high, outer_high = scale(ends)
        inner = inner_high - inner_low
        low, high = ends[0], ends[3]
        if outer_high - outer_low > 2 * inner > 0:
            low, high = max(low, unscale(inner_low - inner / 4)), min(high, unscale(inner_high + inner / 4))
        pad = 0.5 if low == high else 0.0
        return cls(float(low) - pad, float(high) + pad, log, score_label(meaning))

    def bins(self, num_bins: int) -> Floats:
        """Return the bounds of equally wide bins over the view."""
        space = np.geomspace if self.log else np.linspace
        return np.asarray(space(self.low, self.high, num_bins + 1))

    def bars(self, scores: Floats) -> Floats:
        """Return the bounds of the bars of a histogram; bars of whole numbers all hold equally many of them."""
        if self.log or not np.array_equal(scores, np.round(scores)):
            return self.bins(NUM_BARS)
        step = max(1.0, np.ceil((self.high - self.low) / NUM_BARS))
        return np.arange(np.floor(self.low), self.high + 1 + step, step) - 0.5

    def apply(self, axes: Axes, axis: str) -> None:
        """Scale and label the x or y axis of a picture as the score axis."""
        margin = 0.0 if self.log else 0.03 * (self.high - self.low)
        limits, scale = (self.low - margin, self.high + margin), "log" if self.log else "linear"
        axes.set(**{f"{axis}label": self.label, f"{axis}scale": scale, f"{axis}lim": limits})
        if self.log:
            count_ticks(axes, axis)

    def note(self, scores: Floats) -> str | None:
        """Return what is to be said of documents beyond the picture."""
        outside = int(np.count_nonzero((scores < self.low) | (scores > self.high)))
        return f"{numbers.count(outside)} outside the picture" if outside else None


def histogram(figure: Figure, meaning: Mapping[str, Any], scores: Floats, kept_rows: NDArray[np.integer[Any]]) -> None:
    """Count all documents by score, the kept ones in front of the dropped ones."""
    axes, view = figure.subplots(), View.of(scores, meaning)
    edges = view.bars(scores)
    kept, every = (np.histogram(part, edges)[0] for part in (scores[kept_rows], scores))
    dropped = len(scores) - len(kept_rows)
    label = f"dropped ({numbers.count(dropped)})" if dropped else None
    axes.stairs(every, edges, fill=True, color=DROPPED, label=label)
    axes.stairs(kept, edges, fill=True, color=KEPT, label=f"kept ({numbers.count(len(kept_rows))})")
    view.apply(axes, "x")
    axes.set(ylabel="documents", ylim=(0, None))
    axes.grid(axis="x", visible=False)
    median = float(np.median(scores))
    axes.axvline(median, color=INK, linewidth=1, linestyle=(0, (4, 3)), label=f"median {numbers.value(median)}")
    axes.legend(title=view.note(scores), title_fontsize=8)  # a title that is None takes no room
    count_ticks(axes, "y")


def by_source_inches(sources: Mapping[str, Any]) -> float:
    """Return the height of the picture of `by_source`."""
    return 1.1 + 0.42 * len(largest_sources(sources))


def by_source(figure: Figure, meaning: Mapping[str, Any], scores: Floats) -> None:
    """Show 5, 25, 50, 75 and 95 % of the scores of each source, the largest first, and how many were kept."""
    sources = meaning["by_source"]
    axes, largest = figure.subplots(), largest_sources(sources)
    for y, (_, source) in enumerate(largest):
        at = {level: float(value) for level, value in source["quantiles"].items()}
        axes.plot([at["0.05"], at["0.95"]], [y, y], color=MUTED, linewidth=1.2)
        axes.barh(y, at["0.75"] - at["0.25"], left=at["0.25"], height=0.5, color=KEPT, alpha=0.35)
        axes.barh(y, at["0.75"] - at["0.25"], left=at["0.25"], height=0.5, fill=False, edgecolor=KEPT, linewidth=0.8)
        axes.plot([at["0.5"]] * 2, [y - 0.25, y + 0.25], color=KEPT, linewidth=2.4, solid_capstyle="butt")
        share = numbers.share(source["kept"], source["documents"])
        kept = f"{numbers.count(source['kept'])} of {numbers.count(source['documents'])} kept ({share})"
        beside = axes.get_yaxis_transform()
        axes.text(1.01, y, kept, transform=beside, va="center", fontsize=9, color=MUTED)
    axes.set_yticks(range(len(largest)), [name or "(no name)" for name, _ in largest], color=INK, fontsize=10)
    axes.set_ylim(len(largest) - 0.4, -0.6)
    View.of(scores, meaning).apply(axes, "x")
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
    if len(sources) > len(largest):
        axes.set_title(f"the {len(largest)} largest of {numbers.count(len(sources))} sources")


def along_order(figure: Figure, meaning: Mapping[str, Any], order: Mapping[str, NDArray[Any]]) -> None:
    """Show the score of every trained document where it was trained, and the median of its neighbours."""
    axes, scores = figure.subplots(), order["score"]
    view = View.of(scores, meaning)
    tokens = np.cumsum(order["tokens"] + 1) - order["tokens"] - 1  # one end-of-text token after each document
    if len(scores) <= NUM_POINTS:
        size = float(np.clip(12_000 / len(scores), 1.5, 12))
        axes.scatter(tokens, scores, s=size, color=KEPT, alpha=FAINT, linewidths=0, label="one document")
    else:
        _density(axes, view, tokens, scores)
    x, low, middle, high = _running(tokens, scores)
    axes.fill_between(x, low, high, color=LINE, alpha=0.16, linewidth=0, label="middle half of neighbours")
    axes.plot(x, middle, color=LINE, label="running median")
    unreached = tokens[order["step"] < 0]
    if len(unreached):
        axes.axvspan(unreached[0], tokens[-1], color=DROPPED, alpha=0.2, linewidth=0, label="not trained")
    view.apply(axes, "y")
    axes.set(xlabel="tokens trained before the document, first pass", xlim=(0, max(tokens[-1], 1)))
    count_ticks(axes, "x")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0)
    if note := view.note(scores):
        axes.annotate(note, (1, 1.02), xycoords="axes fraction", ha="right", va="bottom", fontsize=8, color=MUTED)


def _density(axes: Axes, view: View, tokens: Floats, scores: Floats) -> None:
    """Shade how many documents fall on each spot; points would hide one another."""
    y_edges = view.bins(80)
    counts, x_edges, _ = np.histogram2d(tokens, scores, bins=(np.linspace(0, max(tokens[-1], 1), 301), y_edges))
    shaded = np.ma.masked_equal(counts.T, 0)
    axes.pcolormesh(x_edges, y_edges, shaded, cmap="Blues", norm="log", alpha=0.9)
    axes.fill_between([], [], color=KEPT, alpha=0.6, linewidth=0, label="documents, darker where more")


def _running(tokens: Floats, scores: Floats) -> NDArray[np.float64]:
    """Return tokens, lower quartile, median and upper quartile of up to 200 groups of neighbours in the order."""
    groups = np.array_split(np.arange(len(scores)), min(200, max(len(scores) // 8, 1)))
    table = [(tokens[g].mean(), *np.quantile(scores[g], [0.25, 0.5, 0.75])) for g in groups]
    return np.array(table, np.float64).T
