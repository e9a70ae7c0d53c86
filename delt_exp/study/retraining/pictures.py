"""The pictures of agreement and price, and what each source is worth."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from delt_exp.quantity import Ranged
from delt_exp.report.findings import Cell, Figure, Table
from delt_exp.statistics.datamodeling import perfect
from delt_exp.study.figures import BAND, chooser, colour, error_bars, figure
from delt_exp.study.retraining.agreed import Agreed, Golds


def agreement_figure(agreed: Sequence[Agreed], ceilings: Mapping[str, float], gold: str) -> Figure:
    """Return every scorer's agreement with its interval, a button for each pool; `gold` in a colour of its own."""
    plots = {}
    for pool, itself in ceilings.items():
        own = [one for one in agreed if one.pool == pool][::-1]
        trace = go.Scatter(
            x=[one.sums.value for one in own], y=[one.scorer for one in own], mode="markers", showlegend=False,
            error_x=error_bars([one.sums for one in own]), text=[one.verdict for one in own],
            hovertemplate="%{y}<br>%{x:.3f}<br>%{text}<extra></extra>",
            marker={"size": 9, "color": [colour(4 if one.scorer == gold else 0) for one in own]},
        )  # fmt: skip
        plot = figure(
            [trace],
            160 + 24 * len(own),
            xaxis={"title": {"text": f"rank correlation, {pool}"}, "range": [-1.02, 1.02]},
        )
        band = max(one.band for one in own)
        plot.add_vrect(-band, band, fillcolor=BAND, line_width=0)
        plot.add_vline(perfect(itself), line_dash="dot")
        plots[pool] = plot
    note = (
        "Intervals over held-out halves. The band holds 95 % of permuted scores; the dotted line is what an exact "
        "prediction would reach."
    )
    return Figure("agreement", "How well a score predicts the effect of training", note, _choose(plots))


def price_figure(agreed: Sequence[Agreed]) -> Figure:
    """Return the agreement over the seconds of scoring, a button for each pool."""
    plots, unit = {}, agreed[0].unit
    for pool in dict.fromkeys(one.pool for one in agreed):
        own = [one for one in agreed if one.pool == pool and one.cost.seconds]
        trace = go.Scatter(
            x=[one.cost.seconds for one in own], y=[one.sums.value for one in own],
            text=[one.scorer for one in own],
            error_y=error_bars([one.sums for one in own]), mode="markers+text", textposition="top center",
            showlegend=False, marker={"size": 9, "color": colour(0)},
        )  # fmt: skip
        xaxis = {"title": {"text": f"scoring [{unit}], {pool}"}, "type": "log", "tickformat": "~s"}
        plots[pool] = figure([trace], 440, xaxis=xaxis, yaxis={"title": {"text": "rank correlation"}})
    note = "Seconds of scoring, its models included; upper left is better."
    return Figure("price", "Agreement and cost", note, _choose(plots))


def sources_table(golds: Golds, pool_name: str, alpha: float) -> Table:
    """Return what the groups of each source are worth: what was planted must show here."""
    from scipy.stats import t

    rows: list[list[Cell]] = []
    for (pool, seed), gold in golds.items():
        for source in np.unique(gold.source_C):
            own = gold.values_C[gold.source_C == source]
            mean, count = float(own.mean()), len(own)
            reach = float(t.isf(alpha / 2, count - 1)) * float(own.std(ddof=1)) / count**0.5 if count > 1 else None
            cell: Cell = mean if reach is None else Ranged(mean, mean - reach, mean + reach)
            rows.append([pool, seed, str(source), count, cell])
    note = "Mean value of the groups of each source, t-interval over groups; the mean of all groups is 0."
    return Table(
        "sources",
        "What each source is worth",
        note,
        [pool_name, "seed", "source", "groups", "value [nats/token]"],
        rows,
    )


def _choose(plots: Mapping[str, Any]) -> dict[str, Any]:
    return dict(chooser(plots).to_plotly_json())
