"""Does a model's output reveal what it was trained on? Estimated shares of known mixtures, and how far they are off."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pyarrow.parquet as pq

from delt_exp.config.fields import ProperShare, settings
from delt_exp.errors import ConfigError, DataError
from delt_exp.eval_dataset.proportions import ESTIMATES
from delt_exp.proportions.shares import total_variation
from delt_exp.quantity import Ranged
from delt_exp.report.findings import Figure, Findings, Table
from delt_exp.statistics.paired import MetricArm
from delt_exp.study.figures import LINE, chooser, colour, error_bars, figure, symbol
from delt_exp.study.record import PlannedRun, StudyRecord

WORDS = {
    "soft": "corrected, from posteriors",
    "hard": "corrected, from labels",
    "raw": "uncorrected",
    "first_token": "first token",
}


@dataclass(frozen=True)
class Detection:
    """One run: shares by domain, of what it was trained on and by each estimate, with the detector's interval if any.

    unit: what shares are of, documents or tokens.
    """

    mixture: str
    temperature: str
    seed: int
    truth: Mapping[str, float]
    shares: Mapping[str, Mapping[str, Ranged | float]]
    unit: str

    def off(self, estimate: str) -> float:
        """Return the total variation between an estimate and the truth."""
        values = self._pairs(estimate)
        return total_variation(values[0], values[1])

    def is_ranked(self, estimate: str) -> bool:
        """Return whether an estimate has the domains in their true order; equal true shares may have any."""
        truth, found = self._pairs(estimate)
        gaps = np.subtract.outer(truth, truth) * np.subtract.outer(found, found)
        return bool((gaps[np.subtract.outer(truth, truth) != 0] > 0).all())

    def _pairs(self, estimate: str) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
        return np.array([[share, _value(self.shares[estimate][label])] for label, share in self.truth.items()]).T


@settings
class ProportionReport:
    """Total variation between estimated and true shares of domains, 0 for a perfect estimate, 1 for the worst.

    Runs need a mixture of labelled parts as candidates, all of which are trained on, and `dataset`, an evaluation
    dataset of the kind `proportions` with domains of the same labels. The truth is counted over the candidates, in
    documents or tokens as the estimates mean. mixture, temperature: the dimensions that say what was trained on and how
    texts were drawn; `honest` is the temperature that draws from the model itself, the others are the negative control.
    Intervals are t over seeds at level `alpha`.
    """

    dataset: str
    mixture: str
    temperature: str
    honest: str
    alpha: ProperShare

    def findings(self, study: StudyRecord) -> Findings:
        """Return figures and tables; raises DataError for a run without the evaluation or without a mixture."""
        detections = [self._detection(run) for run in study.finished()]
        if not any(one.temperature == self.honest for one in detections):
            raise DataError(
                f"{study.folder}: no run at {self.temperature}={self.honest} is finished; repeat the study's command"
            )
        return Findings(
            self._answer(detections),
            [self._figure_of_errors(detections), self._figure_of_shares(detections)],
            [self._errors(detections), _shares(detections)],
        )

    def _detection(self, run: PlannedRun) -> Detection:
        unknown = [name for name in (self.mixture, self.temperature) if name not in run.arm]
        if unknown:
            raise ConfigError(f"study.report: {unknown[0]} is not varied in every slice: {list(run.arm)}")
        shares: dict[str, dict[str, Ranged | float]] = {estimate: {} for estimate in ESTIMATES}
        unit = ""
        for row in (run.record() or {})["results"]:
            name, _, label = row["dataset"].partition("/")
            if name == self.dataset and row["metric"].startswith("share_"):
                shares[row["metric"].removeprefix("share_")][label] = _ranged(row, run.folder)
                unit = row["unit"]
        if not unit:
            raise DataError(f"{run.folder} has no shares by {self.dataset}; choose eval_dataset=proportions")
        in_tokens = unit.endswith("tokens")
        truth = _truth(Path(run.folder), list(shares["soft"]), in_tokens=in_tokens)
        arm, counted = run.arm, "tokens" if in_tokens else "documents"
        return Detection(arm[self.mixture], arm[self.temperature], run.seed, truth, shares, counted)

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

    def _answer(self, detections: Sequence[Detection]) -> str:
        own = [one for one in detections if one.temperature == self.honest]
        off, ranked = _value(self._cell(own, "soft")), sum(one.is_ranked("soft") for one in own)
        sentences = [
            f"At {self.temperature} {self.honest}, the corrected estimate is {off:.3f} off the true shares (total "
            f"variation, 0 to 1) and ranks the domains rightly in {ranked} of {len(own)} runs"
        ]
        for temperature in dict.fromkeys(one.temperature for one in detections):
            group = [one for one in detections if one.temperature == temperature]
            is_said = temperature == self.honest  # of the corrected estimate, above
            parts = [
                f"{_value(self._cell(group, estimate)):.3f} {WORDS[estimate]}"
                for estimate in ESTIMATES
                if estimate != "soft" or not is_said
            ]
            ranked = sum(one.is_ranked("soft") for one in group)
            order = f"; the corrected estimate ranks the domains rightly in {ranked} of {len(group)} runs"
            sentences.append(
                f"At {self.temperature} {temperature}, total variation to the true shares is {', '.join(parts)}"
                + ("" if is_said else order)
            )
        inside = [is_in for one in detections if one.temperature == self.honest for is_in in _inside(one)]
        sentences.append(
            f"At {self.temperature} {self.honest}, {sum(inside)} of {len(inside)} true shares lie in the detector's "
            "interval of the corrected estimate, which knows of sampling errors and not of what the model has failed "
            "to learn"
        )
        return "".join(f"{sentence}.\n" for sentence in sentences).strip()

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


def _scatter(detections: Sequence[Detection]) -> go.Figure:
    traces = []
    for number, estimate in enumerate(ESTIMATES):
        points = [
            (one.truth[label], _value(share), share, f"{label}, {one.mixture}, seed {one.seed}")
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


def _ranged(row: Mapping[str, Any], folder: str) -> Ranged | float:
    """Return the share of a row with its interval; raises DataError for an estimate that has lost its own."""
    if row["stderr"] is None:
        return float(row["value"])
    if "interval" not in row:
        raise DataError(f"{folder} has no intervals of the shares; delete the folder and repeat the study's command")
    return Ranged(row["value"], *row["interval"])


def _inside(one: Detection) -> list[bool]:
    """Return for each domain whether the true share lies in the interval of the corrected estimate."""
    ranged = {label: share for label, share in one.shares["soft"].items() if isinstance(share, Ranged)}
    return [share.low <= one.truth[label] <= share.high for label, share in ranged.items()]


def _groups(detections: Sequence[Detection]) -> dict[tuple[str, str], list[Detection]]:
    groups: dict[tuple[str, str], list[Detection]] = {}
    for one in detections:
        groups.setdefault((one.temperature, one.mixture), []).append(one)
    return groups


def _value(cell: Ranged | float) -> float:
    return cell.value if isinstance(cell, Ranged) else cell


def _truth(folder: Path, labels: Sequence[str], *, in_tokens: bool) -> dict[str, float]:
    """Return the share of each domain among the candidates of a run, in documents or tokens."""
    table = pq.read_table(folder / "scores.parquet", columns=["source", "tokens"])
    source = np.asarray(table["source"].to_pylist())
    strange = sorted(set(source) ^ set(labels))
    if strange:
        raise DataError(
            f"{folder}: {strange[0]} is not both a part of the mixture and a domain that is looked for; use "
            "train_dataset=mixture with parts of the same labels as the domains of eval_dataset=proportions"
        )
    weights = table["tokens"].to_numpy() if in_tokens else np.ones(len(source))
    return {label: float(weights[source == label].sum() / weights.sum()) for label in labels}
