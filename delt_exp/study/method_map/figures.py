"""The pictures and tables of a map: method by task, gain against cost, and every arm."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import plotly.graph_objects as go

from delt_exp.quantity import Below
from delt_exp.report.findings import Cell, Difference, Figure, Table
from delt_exp.study.comparison.pareto import Point, front, pareto
from delt_exp.study.figures import BLUE_TO_RED, chooser, heat_map
from delt_exp.study.method_map.entries import Entry, outdone, recommended

Map = Mapping[str, Sequence[Entry]]
"""The entries of each task."""


def heat_map_figure(tasks: Map, share: str, unit: str) -> Figure:
    """Return the gain of every scorer on every task; buttons choose the share kept."""
    every = [entry for entries in tasks.values() for entry in entries]
    bound = max((abs(entry.gain.value) for entry in every), default=0.0) or 1.0
    shares = {str(entry.arm.labels.get(share, "")) for entry in every}
    plots = {f"keep {kept}": _grid(tasks, share, kept, bound) for kept in sorted(shares)}
    note = (
        f"Gain over training on all documents, in {unit}, equal tokens: blue is better. * better or worse than that "
        "baseline after Holm's correction, ** better than that and than every placebo that keeps as much."
    )
    return Figure("map", "Method by task", note, chooser(plots).to_plotly_json())


def _grid(tasks: Map, share: str, kept: str, bound: float) -> Any:
    own = {
        (str(entry.arm.labels.get("scorer")), task): entry
        for task, entries in tasks.items()
        for entry in entries
        if str(entry.arm.labels.get(share, "")) == kept
    }
    scorers = _by_mean_gain(own)
    cells = [[own.get((scorer, task)) for task in tasks] for scorer in scorers]
    trace = go.Heatmap(
        x=list(tasks), y=scorers, zmin=-bound, zmax=bound, colorscale=BLUE_TO_RED, reversescale=True,
        z=[[entry.gain.value if entry else None for entry in row] for row in cells],
        text=[[_marked(entry) for entry in row] for row in cells], texttemplate="%{text}",
        customdata=[[_hovered(entry) for entry in row] for row in cells],
        hovertemplate="%{y} on %{x}<br>%{customdata}<extra></extra>",
    )  # fmt: skip
    return heat_map(trace)


def _by_mean_gain(own: Mapping[tuple[str, str], Entry]) -> list[str]:
    gains: dict[str, list[float]] = {}
    for (scorer, _), entry in own.items():
        gains.setdefault(scorer, []).append(entry.gain.value)
    return sorted(gains, key=lambda scorer: -sum(gains[scorer]) / len(gains[scorer]))


def _marked(entry: Entry | None) -> str:
    if entry is None:
        return ""
    is_claim = entry.pair.is_clear
    return f"{entry.gain.value:+.2f}{'**' if entry.is_shown else '*' if is_claim else ''}"


def _hovered(entry: Entry | None) -> str:
    if entry is None:
        return ""
    gain = entry.gain
    cost = "not recorded" if entry.seconds is None else entry.arm.cost.seconds_in_words()
    return f"gain {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]<br>{entry.pair.verdict}<br>cost {cost}"


def pareto_figure(tasks: Map, unit: str) -> Figure | None:
    """Return gain against the seconds of scoring and selecting, a button for each task; None where none is known."""
    timed = {task: [one for one in entries if one.seconds is not None] for task, entries in tasks.items()}
    plots = {task: _pareto(task, entries, unit) for task, entries in timed.items() if entries}
    if not plots:
        return None
    note = (
        "One point per method and share. The dotted line joins the methods that no cheaper one equals in gain. "
        "Intervals of the gain are uncorrected; hollow: not distinguishable from no gain. What costs less than "
        "1 % of a training run stands at the left edge."
    )
    return Figure("pareto", "Gain against cost", note, chooser(plots).to_plotly_json())


def _pareto(task: str, entries: Sequence[Entry], unit: str) -> Any:
    points = [
        Point(one.arm.name, "placebo" if one.is_placebo else "score", _seconds(one), one.gain, one.pair.is_clear)
        for one in entries
    ]
    best = front([point for point in points if point.kind == "score" and point.gain.value > 0], turn=1)
    return pareto(points, 1, f"scoring and selecting [{entries[0].arm.cost.unit}], {task}", f"gain [{unit}]", best)


def _seconds(entry: Entry) -> float:
    """Return the seconds; what counts as none has a place on a logarithmic axis too, at the most that it may cost."""
    return entry.seconds.limit if isinstance(entry.seconds, Below) else max(entry.seconds or 0.0, 1e-3)


def answer_table(tasks: Map, share: str, unit: str) -> Table:
    """Return what to use for each task and what it costs."""
    rows: list[list[Cell]] = []
    for task, entries in tasks.items():
        used = recommended(entries)
        if used is None:
            use = "all documents, for longer" if outdone(entries) else "all documents"
            rows.append([task, "not distinguishable", None, use, None, None, None])
            continue
        times = None if used.seconds is None else used.seconds / used.arm.cost.training_seconds
        net = Difference.of(used.at_equal_cost)
        gain = replace(_gain(used), verdict="better")  # shown among the claims; alone among all pairs it may not be
        cells: list[Cell] = [gain, used.named(share), used.seconds, times, None if net is None else _turned(net)]
        rows.append([task, "better", *cells])
    columns = [
        "task", "verdict", f"gain [{unit}]", "use", f"cost [{_clock(tasks)}]", "of a training run",
        "gain at equal cost",
    ]  # fmt: skip
    note = (
        "Of the methods shown to beat training on all documents and every placebo, the one that gains most over a "
        "baseline trained for the same total time; the cheapest, where no baseline was trained for that long; none, "
        "where that baseline is shown to be better than every one of them. It was "
        "chosen after seeing all results, so expect a little less."
    )
    return Table("map", "Which method for which task, and what it costs", note, columns, rows, is_answer=True)


def _gain(entry: Entry) -> Difference:
    gain = entry.gain
    return Difference(gain.value, gain.low, gain.high, "higher", entry.pair.verdict)


def _turned(difference: Difference) -> Difference:
    """Return a difference as an improvement, higher is better."""
    if difference.better == "higher":
        return difference
    return Difference(-difference.value, -difference.high, -difference.low, "higher", difference.verdict)


def _clock(tasks: Map) -> str:
    """Return the unit of what things cost."""
    return next(entry.arm.cost.unit for entries in tasks.values() for entry in entries)


def leaderboard(tasks: Map, share: str, unit: str, alpha: float) -> Table:
    """Return every arm of every task, best first."""
    rows: list[list[Cell]] = []
    for task, entries in tasks.items():
        for rank, entry in enumerate(entries, 1):
            labels, equal = entry.arm.labels, entry.at_equal_cost
            net = Difference.of(equal)
            name = f"{labels.get('scorer')}{' (placebo)' if entry.is_placebo else ''}"
            rows.append([
                name, entry.pair.verdict, _gain(entry), task, str(labels.get(share, "")), rank, _placebos(entry),
                entry.seconds, None if net is None else _turned(net), equal.verdict if equal else "", entry.pair.p_holm,
                entry.pair.detectable, len(entry.arm.runs),
            ])  # fmt: skip
    columns = [
        "scorer", "verdict", f"gain [{unit}]", "task", "kept", "rank", "and than its placebos",
        f"scoring and selecting [{_clock(tasks)}]", "gain at equal cost", "verdict at equal cost", "p (Holm)",
        "minimum detectable effect", "seeds",
    ]  # fmt: skip
    note = (
        f"Gain over training on all documents with {100 * (1 - alpha):g} % intervals over seeds and documents, Holm-"
        "corrected over all tasks. And than its placebos: whether it is better than the baseline and than every "
        "placebo that keeps as much, corrected over all claims. At equal cost: over the baseline trained for the same "
        "total time, at one speed of training for all; empty where it was not trained that long. A cost below 1 % of "
        "a training run is shown as smaller and counts as none."
    )
    return Table("leaderboard", "Every method on every task", note, columns, rows)


def _placebos(entry: Entry) -> str:
    return "" if entry.is_placebo else "not finished" if entry.unfinished else "yes" if entry.is_shown else "no"
