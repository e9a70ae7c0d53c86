"""What alignment is worth in training tokens: loss over both, and the exchange rate between them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from omegaconf import DictConfig

from delt_exp.config.fields import settings
from delt_exp.errors import DataError
from delt_exp.report.findings import Figure, Findings, Table
from delt_exp.statistics.exchange import Exchange, exchange_rate
from delt_exp.study.alignment.pairs import Pair, pairs_of, points_table
from delt_exp.study.alignment.report import AlignmentReport
from delt_exp.study.figures import colour, figure
from delt_exp.study.record import StudyRecord


@settings
class ExchangeReport(AlignmentReport):
    """Fits loss = a(evaluation set) + b log2(tokens) + c alignment for every metric; `primary` gives the answer."""

    def outlook(self, configs: Sequence[DictConfig]) -> list[str]:
        """Return nothing: the power of a rate is not known before its runs."""
        return []

    def findings(self, study: StudyRecord) -> Findings:
        """Return loss against tokens, the rates and the points; raises DataError for too few points."""
        pairs = pairs_of(study, self.corpus)
        metrics = list(dict.fromkeys(metric for pair in pairs for metric in pair.alignment))
        if self.primary not in metrics:
            raise DataError(f"study.report.primary={self.primary!r} was not measured; measured: {', '.join(metrics)}")
        rates = {metric: self._rate(pairs, metric) for metric in metrics}
        rows: list[list[Any]] = [
            [metric, rate.per_doubling, rate.step, -rate.per_alignment * rate.step, rate.factor, rate.rising_share]
            for metric, rate in rates.items()
        ]
        columns = [
            "metric", "nats/token per doubling", "standard deviation of alignment", "is worth [nats/token]",
            "is worth [times the tokens]", "resamples without a gain from tokens",
        ]  # fmt: skip
        note = (
            "Least squares with an intercept for every evaluation set. The standard deviation is that of training "
            "corpora around the mean of each evaluation set. Intervals resample corpora and evaluation sets."
        )
        table = Table("exchange", "Exchange rates", note, columns, rows)
        answer = f"{self.primary}: {rates[self.primary].sentence}"
        return Findings(answer, [_figure(pairs, self.primary)], [table, points_table(pairs, metrics)])

    def _rate(self, pairs: Sequence[Pair], metric: str) -> Exchange:
        return exchange_rate(
            np.array([pair.train for pair in pairs]),
            np.array([pair.evaluation for pair in pairs]),
            np.array([float(pair.tokens) for pair in pairs]),
            np.array([pair.alignment[metric] for pair in pairs]),
            np.array([pair.loss for pair in pairs]),
            evaluation_intercepts=True,
            alpha=self.alpha,
            resamples=self.resamples,
            seed=self.seed,
        )


def _figure(pairs: Sequence[Pair], metric: str) -> Figure:
    """One line for each training corpus and evaluation set, coloured by training corpus."""
    keys = list(dict.fromkeys((pair.train, pair.evaluation) for pair in pairs))
    trains = list(dict.fromkeys(train for train, _ in keys))
    # In the legend a colour stands for a corpus; its solid line shows it, or the first one where it has none.
    legend = [(train, train) if (train, train) in keys else next(k for k in keys if k[0] == train) for train in trains]
    traces = []
    for train, evaluation in keys:
        own = sorted((p for p in pairs if (p.train, p.evaluation) == (train, evaluation)), key=lambda p: p.tokens)
        mean = float(np.mean([pair.alignment[metric] for pair in own]))
        numbers = f"{metric} {mean:.3g}<br>%{{x:,}} tokens<br>loss %{{y:.3f}}"
        line = {"color": colour(trains.index(train)), "dash": "solid" if train == evaluation else "dot"}
        traces.append(
            go.Scatter(
                name=train,
                x=[pair.tokens for pair in own],
                y=[pair.loss for pair in own],
                hovertemplate=f"{train} → {evaluation}<br>{numbers}<extra></extra>",
                mode="lines+markers",
                line=line,
                legendgroup=train,
                showlegend=(train, evaluation) in legend,
            )
        )
    plot = figure(traces, 560, margin_t=20, xaxis_title="training tokens", yaxis_title="loss [nats/token]")
    plot.update_xaxes(type="log", tickformat="~s", tickvals=sorted({pair.tokens for pair in pairs}))
    note = (
        "Solid: evaluated on the domain that was trained on; dotted: on another. Where lines do not meet, no number "
        "of tokens tried here makes up for training on another domain."
    )
    return Figure("exchange", "Loss over tokens, by training corpus", note, plot.to_plotly_json())
