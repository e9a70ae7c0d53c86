"""Does a model's output reveal what it was trained on? Estimated shares of known mixtures, and how far they are off."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from delt_exp.config.fields import ProperShare, settings
from delt_exp.errors import DataError
from delt_exp.eval_dataset.proportions import ESTIMATES
from delt_exp.quantity import Ranged
from delt_exp.report.columns import column_texts
from delt_exp.report.findings import Difference, Figure, Findings, Table
from delt_exp.statistics.families import Comparison
from delt_exp.statistics.paired import MetricArm
from delt_exp.study.figures import LINE, chooser, colour, error_bars, figure, symbol
from delt_exp.study.proportions.detection import WORDS, Detection, detection_of, value_of
from delt_exp.study.proportions.verdicts import EQUAL, verdicts, verdicts_table
from delt_exp.study.record import StudyRecord


@settings
class ProportionReport:
    """Total variation between estimated and true shares of domains, 0 for a perfect estimate, 1 for the worst.

    Runs need a mixture of labelled parts as candidates, all of which are trained on, and `dataset`, an evaluation
    dataset of the kind `proportions` with domains of the same labels. The truth is counted over the candidates, in
    documents or tokens as the estimates mean. mixture, temperature: the dimensions that say what was trained on and how
    texts were drawn; `honest` is the temperature that draws from the model itself, the others are the negative control.
    Intervals are t over seeds at level `alpha`. The corrected estimate is compared with guesses that ask no model, and
    with itself at other temperatures.
    """

    dataset: str
    mixture: str
    temperature: str
    honest: str
    alpha: ProperShare

    def findings(self, study: StudyRecord) -> Findings:
        """Return figures and tables; raises DataError for a run without the evaluation or without a mixture."""
        options = (self.dataset, self.mixture, self.temperature)
        detections = [detection_of(run, *options) for run in study.finished()]
        if not any(one.temperature == self.honest for one in detections):
            raise DataError(
                f"{study.folder}: no run at {self.temperature}={self.honest} is finished; repeat the study's command"
            )
        pairs = verdicts(detections, self.honest, self.alpha)
        tables = [verdicts_table(pairs), self._errors(detections), _shares(detections)]
        return Findings(
            self._answer(detections, pairs),
            [self._figure_of_errors(detections), self._figure_of_shares(detections)],
            [table for table in tables if table.rows],
        )

    def _cell(self, detections: Sequence[Detection], estimate: str) -> Ranged | float:
        """Return the mean total variation over mixtures, with its interval over seeds where there are two."""
        by_seed: dict[int, list[float]] = {}
        for one in detections:
            by_seed.setdefault(one.seed, []).append(one.off(estimate))
        means = np.array([np.mean(values) for values in by_seed.values()])
        if len(means) < 2:
            return float(means.mean())
        estimated = MetricArm(estimate, tuple(by_seed), means, "lower", "total variation").estimate
        return Ranged(estimated.value, *estimated.interval(self.alpha))

    def _errors(self, detections: Sequence[Detection]) -> Table:
        rows = []
        for (temperature, mixture), group in _groups(detections).items():
            for estimate in ESTIMATES:
                ranked = f"{sum(one.is_ranked(estimate) for one in group)} of {len(group)}"
                rows.append([temperature, mixture, WORDS[estimate], self._cell(group, estimate), ranked, len(group)])
        note = (
            f"Total variation to the truth: the share of {detections[0].unit} that would have to change their domain. "
            "Rank order: in how many runs the domains come out in their true order. Only "
            f"{self.temperature} {self.honest} draws from the model itself; first token does not depend on it."
        )
        columns = [self.temperature, self.mixture, "estimate", "total variation", "rank order", "runs"]
        return Table("errors", "How far each estimate is off", note, columns, rows)

    def _answer(self, detections: Sequence[Detection], pairs: Mapping[str, Comparison]) -> str:
        own = [one for one in detections if one.temperature == self.honest]
        sentences = [
            *_verdict(pairs),
            f"At {self.temperature} {self.honest}, which draws from the model itself, {self._off(own)}",
        ]
        for temperature in dict.fromkeys(one.temperature for one in detections):
            if temperature != self.honest:
                group = [one for one in detections if one.temperature == temperature]
                sentences.append(f"At {self.temperature} {temperature}, {self._off(group)}")
        inside = [is_in for one in detections if one.temperature == self.honest for is_in in one.inside]
        sentences.append(
            f"At {self.temperature} {self.honest}, {sum(inside)} of {len(inside)} true shares lie in the detector's "
            "interval of the corrected estimate, which knows of sampling errors and not of what the model has failed "
            "to learn"
        )
        return "".join(f"{sentence}.\n" for sentence in sentences).strip()

    def _off(self, group: Sequence[Detection]) -> str:
        """Return how far each estimate is off at one temperature."""
        parts = [f"{value_of(self._cell(group, estimate)):.3f} {WORDS[estimate]}" for estimate in ESTIMATES]
        ranked = sum(one.is_ranked("soft") for one in group)
        return (
            f"total variation to the true shares (0 to 1) is {', '.join(parts)}; the corrected estimate ranks the "
            f"domains rightly in {ranked} of {len(group)} runs"
        )

    def _figure_of_shares(self, detections: Sequence[Detection]) -> Figure:
        figures = {
            f"{self.temperature} {temperature}": _scatter([one for one in detections if one.temperature == temperature])
            for temperature in dict.fromkeys(one.temperature for one in detections)
        }
        shown = f"{self.temperature} {self.honest}"
        note = "Each point is a domain of one run; on the dotted line, the estimate is the truth."
        return Figure("shares", "Estimated and true shares", note, chooser(figures, shown).to_plotly_json())

    def _figure_of_errors(self, detections: Sequence[Detection]) -> Figure:
        temperatures = list(dict.fromkeys(one.temperature for one in detections))
        traces = []
        for number, estimate in enumerate(ESTIMATES):
            cells = [
                self._cell([one for one in detections if one.temperature == temperature], estimate)
                for temperature in temperatures
            ]
            ranged = [cell if isinstance(cell, Ranged) else Ranged(cell, cell, cell) for cell in cells]
            values = [cell.value for cell in ranged]
            look = {"marker_color": colour(number), "error_y": {**error_bars(ranged), "color": LINE}}
            traces.append(go.Bar(name=WORDS[estimate], x=temperatures, y=values, **look))
        xaxis = {"type": "category", "title": {"text": self.temperature}}
        yaxis = {"title": {"text": "total variation"}, "rangemode": "tozero"}
        plot = figure(traces, 380, barmode="group", xaxis=xaxis, yaxis=yaxis)
        note = "Means over mixtures, with t-intervals over seeds where there are two; lower is better."
        return Figure("errors", "How far each estimate is off, by temperature", note, plot.to_plotly_json())


def _verdict(pairs: Mapping[str, Comparison]) -> list[str]:
    """Return what the estimate is beside equal shares, and beside every other rival; nothing with one seed."""
    if EQUAL not in pairs:
        return []
    texts = column_texts([Difference.of(pair) for pair in pairs.values()])
    minus = {name: text.joined for name, text in zip(pairs, texts, strict=True)}
    words = {"better": "nearer to the true shares than", "worse": "further from the true shares than"}
    word = words.get(pairs[EQUAL].verdict, "not shown to be nearer to the true shares than")
    others = "; ".join(f"{name} {minus[name]}, {pair.verdict}" for name, pair in pairs.items() if name != EQUAL)
    told = [f"The corrected estimate is {word} {EQUAL}: {minus[EQUAL]} of total variation"]
    return [*told, f"Minus other rivals, lower is better: {others}"] if others else told


def _scatter(detections: Sequence[Detection]) -> go.Figure:
    traces = []
    for number, estimate in enumerate(ESTIMATES):
        points = [
            (one.truth[label], value_of(share), share, f"{label}, {one.mixture}, seed {one.seed}")
            for one in detections
            for label, share in one.shares[estimate].items()
        ]
        x, y, shares, texts = zip(*points, strict=True)
        look = {"color": colour(number), "symbol": symbol(number), "size": 9}
        bars = error_bars([share if isinstance(share, Ranged) else Ranged(share, share, share) for share in shares])
        traces.append(go.Scatter(name=WORDS[estimate], x=x, y=y, error_y=bars, text=texts, mode="markers", marker=look))
    line = go.Scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"dash": "dot", "color": LINE}, showlegend=False, hoverinfo="skip"
    )
    yaxis = {"title": {"text": "estimated share"}, "range": [-0.02, 1.02]}
    return figure([*traces, line], 460, xaxis={"title": {"text": "true share"}, "range": [0, 1]}, yaxis=yaxis)


def _shares(detections: Sequence[Detection]) -> Table:
    rows = [
        [one.temperature, one.mixture, one.seed, label, one.truth[label],
         *(one.shares[estimate][label] for estimate in ESTIMATES)]
        for one in detections
        for label in one.truth
    ]  # fmt: skip
    note = "Shares of each run with the bootstrap intervals of the detector, where there are any."
    columns = ["temperature", "mixture", "seed", "domain", "truth", *(WORDS[estimate] for estimate in ESTIMATES)]
    return Table("shares", "Shares of the domains", note, columns, rows, folded=True)


def _groups(detections: Sequence[Detection]) -> dict[tuple[str, str], list[Detection]]:
    groups: dict[tuple[str, str], list[Detection]] = {}
    for one in detections:
        groups.setdefault((one.temperature, one.mixture), []).append(one)
    return groups
