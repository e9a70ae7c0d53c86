"""Loss against alignment as a Plotly figure, one metric at a time."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from delt_exp.statistics.relation import Relation
from delt_exp.study.figures import BAND, COLOURS, LINE, SYMBOLS

if TYPE_CHECKING:
    from delt_exp.study.alignment.pairs import Pair


def scatter(pairs: "Sequence[Pair]", relations: Mapping[str, Relation], primary: str) -> dict[str, Any]:
    """Return data and layout; buttons choose the metric, `primary` is shown first."""
    metrics = [primary, *(metric for metric in relations if metric != primary)]
    per_metric = [_traces(pairs, relations[metric], metric) for metric in metrics]
    data = [
        {**trace, "visible": metric == primary}
        for metric, traces in zip(metrics, per_metric, strict=True)
        for trace in traces
    ]
    buttons = []
    for chosen in metrics:
        shown = [metric == chosen for metric, traces in zip(metrics, per_metric, strict=True) for _ in traces]
        buttons.append(
            {"label": chosen, "method": "update", "args": [{"visible": shown}, {"xaxis.title.text": _axis(chosen)}]}
        )
    layout = {
        "height": 620, "margin": {"t": 60, "r": 10}, "hovermode": "closest",
        "xaxis": {"title": {"text": _axis(primary)}, "zeroline": False},
        "yaxis": {"title": {"text": "loss [nats/token]"}, "zeroline": False},
        "legend": {"font": {"size": 11}},
        "updatemenus": [
            {"type": "buttons", "direction": "right", "x": 0, "y": 1.12, "xanchor": "left", "buttons": buttons}
        ],
    }  # fmt: skip
    return {"data": data, "layout": layout}


def _axis(metric: str) -> str:
    return f"alignment of training and evaluation data, {metric}"


def _traces(pairs: "Sequence[Pair]", relation: Relation, metric: str) -> list[dict[str, Any]]:
    trains = list(dict.fromkeys(pair.train for pair in pairs))
    sets = list(dict.fromkeys(pair.evaluation for pair in pairs))
    traces = _line(relation)
    for number, train in enumerate(trains):
        own = [pair for pair in pairs if pair.train == train]
        traces.append({
            "type": "scatter", "mode": "markers", "name": train, "x": [pair.alignment[metric] for pair in own],
            "y": [pair.loss for pair in own], "text": [f"{pair.train} → {pair.evaluation}" for pair in own],
            "hovertemplate": "%{text}<br>alignment %{x:.4g}<br>loss %{y:.3f}<extra></extra>",
            "marker": {"color": COLOURS[number % len(COLOURS)], "size": 9, "opacity": 0.85,
                       "symbol": [SYMBOLS[sets.index(pair.evaluation) % len(SYMBOLS)] for pair in own]},
        })  # fmt: skip
    # Empty points, so that the legend explains the shapes.
    traces += [
        {"type": "scatter", "mode": "markers", "name": f"on {name}", "x": [None], "y": [None],
         "marker": {"color": LINE, "symbol": SYMBOLS[number % len(SYMBOLS)], "size": 9}}
        for number, name in enumerate(sets)
    ]  # fmt: skip
    return traces


def _line(relation: Relation) -> list[dict[str, Any]]:
    band = relation.band
    x, low, high = band.x_G.tolist(), band.low_G.tolist(), band.high_G.tolist()
    outline = {"type": "scatter", "x": [*x, *x[::-1]], "y": [*high, *low[::-1]], "fill": "toself", "fillcolor": BAND}
    return [
        {**outline, "mode": "none", "hoverinfo": "skip", "showlegend": False},
        {"type": "scatter", "mode": "lines", "x": x, "y": band.y_G.tolist(), "line": {"color": LINE},
         "hoverinfo": "skip", "name": f"all pairs: r = {relation.line.r:.2f}, slope {relation.line.slope:.3g}"},
    ]  # fmt: skip
