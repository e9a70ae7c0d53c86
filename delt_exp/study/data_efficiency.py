"""How much preference data is worth: a held-out measure over random shares of the data, with a saturating curve.

Subsets and seeds of one share are its points; P points of a curve.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from delt_exp.config.fields import Count, ProperShare, settings
from delt_exp.errors import DataError
from delt_exp.quantity import Ranged
from delt_exp.report.findings import Cell, Figure, Findings, Table
from delt_exp.rows.draws import generator
from delt_exp.statistics.saturating import fit_saturating
from delt_exp.study.figures import chooser, colour, error_bars, figure
from delt_exp.study.record import PlannedRun, StudyRecord

RATIO = "selector.ratio"


class Key(NamedTuple):
    """Which curve: the source trained on, how its subsets are drawn, the evaluation set."""

    source: str
    subsets: str
    dataset: str


class Point(NamedTuple):
    """The measure of a run, and its standard error over what it was evaluated on."""

    value: float
    stderr: float


@settings
class DataEfficiencyReport:
    """Fits a - b share^-c to `metric`, with percentile intervals at `alpha` from `resamples` bootstraps over subsets.

    Runs need the dimensions `panel` (the source of the data), `subsets` (how they are drawn), `subset` and
    selector.ratio. A bootstrap draws whole subsets (a subset with a seed), with all their shares where they are nested:
    their points are not independent of each other. It adds a normal draw with the standard error of the evaluation for
    each share: subsets that are all of the data are the same run and vary by nothing else. The draws of two shares are
    independent although their runs share the evaluation set, so that the interval of a gain is rather too wide.
    """

    panel: str
    metric: str
    resamples: Count
    alpha: ProperShare

    def findings(self, study: StudyRecord) -> Findings:
        """Return curves and tables; raises DataError while no curve has three shares."""
        curves = self._curves(study)
        rows = [self._row(key, points) for key, points in curves.items() if _num_shares(points) >= 3]
        if not rows:
            raise DataError(f"{study.folder}: no source is finished with three shares yet; repeat the study's command")
        note = (
            f"{self.metric} at share s of the data is a - b s^-c. Intervals: {100 * (1 - self.alpha):g} %, bootstrap "
            "over subsets and the noise of the evaluation. One that reaches far beyond the data says that the curve "
            "does not bend within them."
        )
        gain = "gain of all over the least"
        columns = ["source", "subsets", "evaluated on", "a", "b", "c", "at the least share", "with all", gain]
        fits = Table("curves", "Saturating curves", note, columns, rows)
        figures = {dataset: self._figure(curves, dataset) for dataset in dict.fromkeys(key.dataset for key in curves)}
        text = (
            "Points are means over subsets with the interval of the bootstrap; the dashed line is a model that learnt "
            "nothing."
        )
        shown = Figure(
            "efficiency", f"{self.metric} over the share of preferences", text, chooser(figures).to_plotly_json()
        )
        return Findings(self._answer(rows), [shown], [fits, self._points(curves)])

    def _curves(self, study: StudyRecord) -> dict[Key, dict[float, dict[str, Point]]]:
        """Return curve -> share -> (subset and seed) -> point."""
        curves: dict[Key, dict[float, dict[str, Point]]] = {}
        for run in study.finished():
            for dataset, point in _values(run, self.metric).items():
                key = Key(run.arm[self.panel], run.arm["subsets"], dataset)
                name = f"{run.arm['subset']} {run.seed}"
                curves.setdefault(key, {}).setdefault(float(run.arm[RATIO]), {})[name] = point
        return curves

    def _row(self, key: Key, points: Mapping[float, Mapping[str, Point]]) -> list[Cell]:
        least, most = min(points), max(points)

        def numbers(chosen: Mapping[float, Sequence[float]]) -> NDArray[np.float64]:
            shares = np.array([share for share, values in chosen.items() for _ in values])
            values = np.array([value for values in chosen.values() for value in values])
            first, last = np.mean(chosen[least]), np.mean(chosen[most])
            return np.array([*fit_saturating(shares, values), first, last, last - first])

        whole = numbers({share: [point.value for point in runs.values()] for share, runs in points.items()})
        drawn = np.array([numbers(sample) for sample in self._samples(key, points)])
        low, high = np.quantile(drawn, [self.alpha / 2, 1 - self.alpha / 2], axis=0)
        return [*key, *(Ranged(*map(float, cell)) for cell in zip(whole, low, high, strict=True))]

    def _samples(self, key: Key, points: Mapping[float, Mapping[str, Point]]) -> list[dict[float, list[float]]]:
        """Return bootstrap samples of a curve: the same subsets at all shares where they are nested."""
        rng = generator(0, "bootstrap of a curve")
        names = sorted(set.intersection(*(set(values) for values in points.values())))
        samples = []
        for _ in range(self.resamples):
            drawn = rng.choice(names, (len(points), len(names)))
            if key.subsets != "independent":
                drawn[:] = drawn[0]
            samples.append({
                share: list(_noisy([points[share][name] for name in row], rng))
                for share, row in zip(points, drawn, strict=True)
            })  # fmt: skip
        return samples

    def _figure(self, curves: Mapping[Key, Mapping[float, Mapping[str, Point]]], dataset: str) -> go.Figure:
        traces = []
        own = [key for key in curves if key.dataset == dataset]
        for number, key in enumerate(own):
            shares = sorted(curves[key])
            cells = [self._mean(list(curves[key][share].values())) for share in shares]
            traces.append(go.Scatter(
                x=shares, y=[cell.value for cell in cells], error_y=error_bars(cells), mode="markers+lines",
                name=f"{key.source}, {key.subsets}", line_color=colour(number),
            ))  # fmt: skip
        plot = figure(
            traces, 480, xaxis_title=f"share of the preferences (evaluated on {dataset})", yaxis_title=self.metric
        )
        plot.update_xaxes(type="log")
        return plot.add_hline(0.5, line_dash="dash") if self.metric == "reward_accuracy" else plot

    def _mean(self, points: Sequence[Point]) -> Ranged:
        rng = generator(0, "bootstrap of a mean")
        rows = rng.integers(len(points), size=(self.resamples, len(points)))
        means = [np.mean(_noisy([points[i] for i in row], rng)) for row in rows]
        return Ranged(
            float(np.mean([point.value for point in points])),
            *map(float, np.quantile(means, [self.alpha / 2, 1 - self.alpha / 2])),
        )

    def _points(self, curves: Mapping[Key, Mapping[float, Mapping[str, Point]]]) -> Table:
        rows: list[list[Cell]] = [
            [*key, share, *(float(f([point.value for point in runs.values()])) for f in (np.mean, np.std)), len(runs)]
            for key, points in curves.items()
            for share, runs in sorted(points.items())
        ]
        columns = ["source", "subsets", "evaluated on", "share", self.metric, "standard deviation", "runs"]
        return Table("points", "Every share", "Mean and standard deviation over subsets and seeds.", columns, rows)

    def _answer(self, rows: Sequence[Sequence[Cell]]) -> str:
        sentences = []
        for source, subsets, dataset, *_, gain in rows:
            assert isinstance(gain, Ranged)
            verdict = "grows" if gain.shows(1) else "falls" if gain.shows(-1) else "does not clearly change"
            sentences.append(f"{source} ({subsets}) on {dataset}: {self.metric} {verdict} ({gain.value:+.3f}).")
        return (
            "From the least share to all preferences: " + " ".join(sentences) + " Nested and independent subsets "
            "learn from equally many tokens at every share; in one epoch, more data are also more steps. There is no "
            "win rate, because there is no judge."
        )


def _num_shares(points: Mapping[float, Mapping[str, Point]]) -> int:
    """Return how many shares there are; 0 where no subset has all of them."""
    return len(points) if set.intersection(*(set(values) for values in points.values())) else 0


def _noisy(points: Sequence[Point], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return values as another evaluation set might give them; the runs of one share are evaluated on the same."""
    noise = rng.normal() * np.mean([point.stderr for point in points])
    return np.array([point.value for point in points]) + noise


def _values(run: PlannedRun, metric: str) -> dict[str, Point]:
    record = run.record() or {}
    return {
        row["dataset"]: Point(float(row["value"]), float(row["stderr"] or 0.0))
        for row in record["results"]
        if row["metric"] == metric
    }
