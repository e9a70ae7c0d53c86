"""Decision accuracy and signal-to-noise as a picture and tables, for a command's page and a study's."""

from collections.abc import Sequence

from delt_exp.decision.decisions import Decision, Signal, sentences
from delt_exp.decision.ladder import number
from delt_exp.quantity import Ranged
from delt_exp.report.findings import Cell, Figure, Findings, Table
from delt_exp.statistics.decision import DecisionAccuracy, SignalToNoise


def findings(
    names: Sequence[str], found: Sequence[Decision], noise: Sequence[Signal], large: str, alpha: float
) -> Findings:
    """Return answer, picture and tables of the decisions and signals of a ladder with sizes of these names."""
    answer = "\n".join(sentences(found, large, alpha))
    tables = [_accuracies(found, large), _signals(noise)]
    return Findings(answer, [_figure(found, names)], [one for one in tables if one.rows])


def _accuracies(found: Sequence[Decision], large: str) -> Table:
    has_protocols = any(one.protocol for one in found)
    rows: list[Sequence[Cell]] = [
        [
            one.size, *([one.protocol] if has_protocols else []), one.metric,
            _cell(one.by_mean), _cell(one.one_seed), _cell(one.clear),
            one.by_mean.num_pairs if one.by_mean else 0, one.clear.num_pairs if one.clear else None,
            one.num_arms, one.num_seeds,
        ]
        for one in found
    ]  # fmt: skip
    columns = [
        "size", *(["protocol"] if has_protocols else []), "metric", "decision accuracy", "with one seed",
        "of clear pairs", "pairs", "clear pairs", "arms", "seeds",
    ]  # fmt: skip
    note = (
        f"Share of pairs of arms whose order is that at {large}; 0.5 is chance. A tie of the small size is half right; "
        f"pairs that tie at {large} do not count. Means over seeds have the same candidates and draws at both sizes "
        f"where they have the same seeds. With one seed: each arm trained once at the small size, against the other "
        f"seeds at {large}. Clear pairs differ at {large} by a t test with the noise of seeds, pair by pair."
    )
    return Table("decisions", "Decision accuracy", note, columns, rows, is_answer=True)


def _signals(noise: Sequence[Signal]) -> Table:
    rows: list[Sequence[Cell]] = [
        [_with(one.size, one.protocol), one.metric, _cell(one.found), one.found.signal, one.found.noise, one.num_arms]
        for one in noise
        if one.found is not None
    ]
    columns = ["size", "metric", "signal-to-noise", "sd of arms", "sd of seeds", "arms"]
    note = (
        "Standard deviation of arms over that of one arm's seeds, without what a seed does to all arms alike where all "
        "have the same. The spread that seeds alone give the means is taken off; 0 where nothing remains."
    )
    return Table("signal_to_noise", "Signal-to-noise", note, columns, rows)


def _with(size: str, protocol: str) -> str:
    return " · ".join(filter(None, (size, protocol)))


def _cell(found: DecisionAccuracy | SignalToNoise | None) -> Ranged | None:
    return None if found is None else Ranged(found.value, found.low, found.high)


def _figure(found: Sequence[Decision], names: Sequence[str]) -> Figure:
    import plotly.graph_objects as go

    from delt_exp.study.figures import colour, error_bars, figure, symbol

    places = {name: number(name) for name in names}
    is_scale = all(places.values())
    lines = list(dict.fromkeys((one.metric, one.protocol) for one in found))
    traces = []
    for n, line in enumerate(lines):
        own = [one for one in found if (one.metric, one.protocol) == line]
        points = [(one.size, cell) for one in own if (cell := _cell(one.by_mean))]
        traces.append(go.Scatter(
            name=_with(*line), x=[places[size] if is_scale else size for size, _ in points],
            y=[cell.value for _, cell in points], error_y=error_bars([cell for _, cell in points]),
            mode="lines+markers", marker={"color": colour(n), "symbol": symbol(n), "size": 9},
        ))  # fmt: skip
    ticks = {"type": "log", "tickvals": list(places.values()), "ticktext": names} if is_scale else {"type": "category"}
    plot = figure(
        traces, 420, xaxis={"title": {"text": "size"}, **ticks}, showlegend=len(lines) > 1,
        yaxis={"title": {"text": "decision accuracy"}, "range": [0, 1.03]},
    )  # fmt: skip
    plot.add_hline(y=0.5, line={"dash": "dot", "width": 1})
    note = "Share of pairs ordered as at the largest size, with intervals over arms. The dotted line is chance."
    return Figure("decisions", "Decision accuracy by size", note, plot.to_plotly_json())
