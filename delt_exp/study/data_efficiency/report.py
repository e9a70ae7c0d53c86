"""How much preference data is worth: held-out measures over random shares of the data, with saturating curves.

Subsets and seeds of one share are its points; R bootstraps.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import plotly.graph_objects as go
from omegaconf import DictConfig

from delt_exp.config.build import build, plain
from delt_exp.config.fields import Count, ProperShare, settings
from delt_exp.errors import DataError
from delt_exp.eval_dataset.preferences import Preferences
from delt_exp.eval_dataset.win_rate import WinRate
from delt_exp.quantity import Ranged
from delt_exp.report.cautions import ORACLE_ACCURACY, oracle_worth
from delt_exp.report.findings import Cell, Difference, Figure, Findings, Table
from delt_exp.statistics.saturating import EXPONENTS
from delt_exp.study.data_efficiency.bootstrap import Bootstrap, bootstrapped, percentiles
from delt_exp.study.data_efficiency.curves import Curve, Key, Point, curves_of, distinct, num_shares, points_of
from delt_exp.study.figures import LINE, chooser, colour, error_bars, figure
from delt_exp.study.record import StudyRecord

WORDS = {1: "better", -1: "worse", 0: "not distinguishable"}  # of a gain by its sign
SHARES = ("reward_accuracy", "win_rate", "win_rate_over_start")  # of pairs or prompts; 0.5 has learnt nothing
TIMES_STDERR = 1.96 + 0.84  # of a difference that is seen at a level of 5 % with power 0.8


@settings
class DataEfficiencyReport:
    """Fits a - b share^-c to `metrics`, with percentile intervals at `alpha` from `resamples` bootstraps over subsets.

    Runs need the dimensions `panel` (the source of the data), `subsets` (how they are drawn), `subset` and
    selector.ratio. A bootstrap draws whole subsets (a subset with a seed), with all their shares where they are nested:
    their points are not independent of each other. It adds a normal draw with the standard error of the evaluation for
    each share. Subsets that are all of the data are one run for each seed: their mean is drawn with the variance
    between the runs of the other shares. The draws of two shares are independent although their runs share the
    evaluation set, so that the interval of a gain is rather too wide. A curve whose exponent is at a border of its
    grid, in the fit or in more than `alpha` of the bootstraps, is not identified: its a, b and c are not shown.
    """

    panel: str
    metrics: Sequence[str]
    resamples: Count
    alpha: ProperShare

    def outlook(self, configs: Sequence[DictConfig]) -> list[str]:
        """Return what gain each evaluation set is large enough to show, before anything is computed."""
        nodes = {name: node for cfg in configs for name, node in (cfg.eval_dataset or {}).items()}
        sentences = []
        for name, node in nodes.items():
            part = build(plain(node), f"eval_dataset.{name}")
            if not isinstance(part, Preferences | WinRate):
                continue
            count = sum(1 for _ in part.dataset.documents())
            count = min(count, part.limit or count)
            sentences.append(
                f"power: {name} has at most {count} preferences, so that a share near 0.5 has a standard error of "
                f"{0.5 / count**0.5:.3f}; the smallest gain from the least share to all that is detected with power "
                "0.8 is "
                f"{detectable_gain(count):.3f}, noise of subsets and seeds not counted"
            )
        return sentences

    def findings(self, study: StudyRecord) -> Findings:
        """Return curves and tables; raises DataError while no curve has three shares."""
        curves = curves_of(study, self.panel, self.metrics)
        found = {key: bootstrapped(key, c, self.resamples) for key, c in curves.items() if num_shares(c) >= 3}
        if not found:
            raise DataError(f"{study.folder}: no source is finished with three shares yet; repeat the study's command")
        names = dict.fromkeys(key.measured for key in found)
        figures = {name: self._figure({k: one for k, one in found.items() if k.measured == name}) for name in names}
        text = (
            "Points are means over subsets with the interval of the bootstrap; the dashed line is a model that "
            "learnt nothing. Nested and independent subsets learn from equally many tokens at every share."
        )
        shown = Figure("efficiency", "Over the share of preferences", text, chooser(figures).to_plotly_json())
        tables = [self._fits(found), *self._contrasts(found), self._points(curves)]
        return Findings(self._answer(found, _oracles(study)), [shown], tables)

    def _fits(self, found: Mapping[Key, Bootstrap]) -> Table:
        rows: list[list[Cell]] = []
        for key, one in found.items():
            fit: list[Cell] = [None, None, None]
            if is_identified := one.is_identified(self.alpha):
                fit = [percentiles(*cell, self.alpha) for cell in zip(one.fit, one.fits.T, strict=True)]
            border = "" if is_identified else f"no: at a border in {100 * one.share_at_border():.0f} %"
            ends = zip(one.ends, one.sampled_ends.T, strict=True)
            least, most, gain = (percentiles(*cell, self.alpha) for cell in ends)
            verdict = WORDS[_sign(gain) * (1 if key.better == "higher" else -1)]
            change = Difference(gain.value, gain.low, gain.high, key.better, verdict)
            rows.append([key.source, verdict, change, key.metric, key.dataset, key.subsets, least, most,
                         "yes" if is_identified else border, *fit])  # fmt: skip
        note = (
            "Better: all preferences teach more than the least share, by an uncorrected interval that excludes 0. "
            "Changes are as measured: of a loss or a divergence from the start, less is better. "
            f"Intervals: {100 * (1 - self.alpha):g} %, bootstrap over subsets and the noise of the evaluation. The "
            "curve at share s of the data is a - b s^-c. It is identified if the points bend enough to fix c; "
            f"otherwise c runs to a border of the values tried, {EXPONENTS[0]:g} (a line over log s) or "
            f"{EXPONENTS[-1]:g} (a step after the least share), in the fit or in more than "
            f"{100 * self.alpha:g} % of the bootstraps. Then a, "
            "the value with unlimited data, means nothing: no curve is shown, and nothing can be extrapolated."
        )
        columns = [
            "source", "verdict", "gain of all over the least", "measure", "evaluated on", "subsets",
            "at the least share", "with all", "curve identified", "a", "b", "c",
        ]  # fmt: skip
        return Table("efficiency", "Gains and saturating curves", note, columns, rows, is_answer=True)

    def _contrasts(self, found: Mapping[Key, Bootstrap]) -> list[Table]:
        """Return what one source gives over another, with all of either; nothing with one source."""
        rows: list[list[Cell]] = []
        for (one, a), (other, b) in combinations(found.items(), 2):
            if one[1:] != other[1:]:
                continue
            differences = zip(a.ends - b.ends, (a.sampled_ends - b.sampled_ends).T, strict=True)
            _, with_all, gain = (percentiles(*cell, self.alpha) for cell in differences)
            rows.append([f"{one.source} - {other.source}", *one[1:4], with_all, gain])
        note = (
            "The first source minus the second: with all preferences of each, and in the gain from the least share. "
            "Evaluation noise is treated as independent although both are evaluated on the same set, so "
            "intervals are somewhat too wide."
        )
        columns = ["sources", "subsets", "measure", "evaluated on", "with all", "gain"]
        return [Table("contrasts", "Sources against each other", note, columns, rows)] if rows else []

    def _figure(self, curves: Mapping[Key, Bootstrap]) -> go.Figure:
        """Draw the curves of one measure on one evaluation set."""
        traces = []
        for number, (key, curve) in enumerate(curves.items()):
            shares = sorted(curve.values)
            cells = [curve.mean_at(share, self.alpha) for share in shares]
            traces.append(go.Scatter(
                x=shares, y=[cell.value for cell in cells], error_y=error_bars(cells), mode="markers+lines",
                name=f"{key.source}, {key.subsets}", line_color=colour(number),
            ))  # fmt: skip
        plot = figure(traces, 480, xaxis_title=f"share of the preferences ({key.dataset})", yaxis_title=key.metric)
        plot.update_xaxes(type="log", tickvals=sorted({share for curve in curves.values() for share in curve.values}))
        return plot.add_hline(0.5, line_dash="dash", line_color=LINE) if key.metric in SHARES else plot

    def _points(self, curves: Mapping[Key, Curve]) -> Table:
        rows: list[list[Cell]] = [
            [*key[:4], share, float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None,
             len(values)]
            for key, points in curves.items()
            for share, runs in sorted(points.items())
            for values in [[point.value for point in distinct(runs)]]
        ]  # fmt: skip
        columns = ["source", "subsets", "measure", "evaluated on", "share", "mean", "standard deviation", "runs"]
        return Table(
            "points", "Every share", "Mean and standard deviation over subsets and seeds.", columns, rows, folded=True
        )

    def _answer(self, found: Mapping[Key, Bootstrap], oracles: Mapping[str, Point]) -> str:
        gains = {key: one.gain(self.alpha) for key, one in found.items()}
        by_metric: dict[str, dict[Key, Ranged]] = {}
        for key, gain in gains.items():
            by_metric.setdefault(key.metric, {})[key] = gain
        num_identified = sum(one.is_identified(self.alpha) for one in found.values())
        return "\n".join([
            *(_told(metric, of_metric, is_first=not n) for n, (metric, of_metric) in enumerate(by_metric.items())),
            f"Intervals are not corrected: of {len(gains)} changes {self.alpha * len(gains):.2g} would exclude 0 by "
            "chance. Nested and independent subsets learn from equally many tokens at every share; in one epoch, more "
            "data are also more steps.",
            f"{num_identified} of {len(found)} curves bend enough to be identified.",
            *(oracle_worth(dataset, one.value, one.stderr) for dataset, one in oracles.items()),
        ])  # fmt: skip


def _told(metric: str, gains: Mapping[Key, Ranged], *, is_first: bool) -> str:
    """Return in how many curves a measure grows and falls from the least share to all, and where it changes most."""
    grows, falls = (sum(_sign(gain) == sign for gain in gains.values()) for sign in (1, -1))
    clear = {key: gain for key, gain in gains.items() if _sign(gain)}
    most, gain = max((clear or gains).items(), key=lambda item: abs(item[1].value))
    verb = f"grows in {grows} and falls in {falls}" if clear else "does not clearly change in any"
    where = " from the least share of the preferences to all" if is_first else ""
    dataset = f", on {most.dataset}" if len({key.dataset for key in gains}) > 1 else ""
    return (
        f"{metric} {verb} of {len(gains)} curves{where}; the largest {'clear ' if clear else ''}change is "
        f"{gain.value:+.2g} [{gain.low:.2g}, {gain.high:.2g}] ({most.source}, {most.subsets}{dataset})."
    )


def _sign(gain: Ranged) -> int:
    """Return 1 or -1 for a gain whose interval lies above or below 0, else 0."""
    return int(gain.shows(1)) - int(gain.shows(-1))


def detectable_gain(count: int) -> float:
    """Return the difference of two shares near 0.5 of `count` preferences that is seen with power 0.8 at 5 %.

    The two runs are taken to be evaluated on independent sets of this size, as the report does.
    """
    return float(TIMES_STDERR * np.sqrt(2 * 0.25 / count))


def _oracles(study: StudyRecord) -> dict[str, Point]:
    """Return for each evaluation set with an oracle how often that agrees with people; that of the first run."""
    found: dict[str, Point] = {}
    for run in study.finished():
        for (_, dataset, _), point in points_of(run, [ORACLE_ACCURACY]).items():
            found.setdefault(dataset, point)
    return found
