"""Loss against alignment as a Plotly figure, one metric at a time."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from delt_exp.statistics.found_relation import Relation
from delt_exp.study.alignment.pairs import Pair
from delt_exp.study.figures import BAND, LINE, chooser, colour, figure, symbol


def scatter(pairs: Sequence[Pair], relations: Mapping[str, Relation], primary: str) -> Any:
    """Return the figure; buttons choose the metric, `primary` is shown first."""
    metrics = [primary, *(metric for metric in relations if metric != primary)]
    return chooser({metric: _of_metric(pairs, relations[metric], metric) for metric in metrics})


def _of_metric(pairs: Sequence[Pair], relation: Relation, metric: str) -> Any:
    """Return the points, coloured by training corpus and shaped by evaluation set, over the line of all pairs."""
    sets = list(dict.fromkeys(pair.evaluation for pair in pairs))
    traces = _line(relation)
    for number, train in enumerate(dict.fromkeys(pair.train for pair in pairs)):
        own = [pair for pair in pairs if pair.train == train]
        shapes = [symbol(sets.index(pair.evaluation)) for pair in own]
        traces.append(
            go.Scatter(
                name=train,
                x=[pair.alignment[metric] for pair in own],
                y=[pair.loss for pair in own],
                text=[f"{pair.train} → {pair.evaluation}" for pair in own],
                hovertemplate="%{text}<br>alignment %{x:.4g}<br>loss %{y:.3f}<extra></extra>",
                mode="markers",
                marker={"color": colour(number), "size": 9, "opacity": 0.85, "symbol": shapes},
            )
        )
    for number, name in enumerate(sets):  # empty points, so that the legend explains the shapes
        marker = {"color": LINE, "symbol": symbol(number), "size": 9}
        traces.append(go.Scatter(name=f"on {name}", x=[None], y=[None], mode="markers", marker=marker))
    plot = figure(traces, 600, margin_r=10, yaxis_title="loss [nats/token]")
    plot.update_xaxes(title=f"alignment of training and evaluation data, {metric}")
    return plot.update_xaxes(zeroline=False).update_yaxes(zeroline=False)


def _line(relation: Relation) -> list[Any]:
    """Return the band and the line of all pairs."""
    band = relation.band
    x, y, low, high = (values_G.tolist() for values_G in (band.x_G, band.y_G, band.low_G, band.high_G))
    outline = go.Scatter(x=[*x, *x[::-1]], y=[*high, *low[::-1]], mode="none", fill="toself", fillcolor=BAND)
    outline.update(hoverinfo="skip", showlegend=False)
    name = f"all pairs: r = {relation.line.r.value:.2f}, slope {relation.line.slope.value:.3g}"
    return [outline, go.Scatter(name=name, x=x, y=y, mode="lines", line_color=LINE, hoverinfo="skip")]
