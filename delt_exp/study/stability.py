"""Does a score stay the same with another seed, proxy or target? Each scorer's agreement with itself."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from delt_exp.config.fields import PositiveShare, ProperShare, settings
from delt_exp.errors import ConfigError, DataError
from delt_exp.quantity import Ranged
from delt_exp.report.findings import Cell, Figure, Findings, Table
from delt_exp.statistics.diagnostics import auc_interval
from delt_exp.study.comparison.diagnosis import NOT_MEASURED, Scores, agree, scores_of
from delt_exp.study.figures import BLUE_TO_RED, heat_map
from delt_exp.study.record import PlannedRun, StudyRecord

SEED = "seed"
Agreement = tuple[float, float]
"""Spearman's correlation and the overlap of the best documents."""
LOWEST = (-1.0, 0.0)  # what each of them can be


@settings
class StabilityReport:
    """Agreement of scores between runs of one scorer that differ in exactly one of `dimensions`, or in the seed.

    Scores are turned so that higher is better. Intervals are t over seeds at level `alpha`, on the logit scale between
    the lowest and the highest possible value, where two seeds have pairs; pairs of seeds get none. Runs that share one
    scoring measure nothing. overlap_ratio: share of best documents that is compared.
    """

    dimensions: Sequence[str]
    overlap_ratio: PositiveShare
    alpha: ProperShare

    def findings(self, study: StudyRecord) -> Findings:
        """Return figure and table; raises DataError while no two runs can be compared."""
        scorers = self._by_scorer(study)
        found = {name: self._agreements(runs) for name, runs in scorers.items()}
        rows = [
            [scorer, dimension, *self._cells(by_seed, dimension, scorers[scorer]), sum(map(len, by_seed.values()))]
            for scorer, dimensions in found.items()
            for dimension, by_seed in dimensions.items()
        ]
        if not rows:
            raise DataError(f"{study.folder}: no two runs of a scorer are finished; repeat the study's command")
        best = f"overlap of the best {100 * self.overlap_ratio:g} %"
        note = (
            "Mean over pairs of runs that differ in nothing else, with the t-interval over seeds where there is one. "
            f"By chance Spearman's correlation is 0 and the overlap {self.overlap_ratio:g}. Not measured: the runs "
            "share one scoring, because it does not depend on what differs, or because its own seed stayed the same."
        )
        table = Table("stability", "Agreement of a score with itself", note,
                      ["scorer", "what differs", "Spearman", best, "pairs"], rows)  # fmt: skip
        return Findings(_answer(rows), [self._figure(rows)], [table])

    def _by_scorer(self, study: StudyRecord) -> dict[str, list[tuple[PlannedRun, Scores]]]:
        """Return runs with their scores; scores that are all equal say nothing and are left out."""
        scorers: dict[str, list[tuple[PlannedRun, Scores]]] = {}
        for run in study.finished():
            unknown = [name for name in ("scorer", *self.dimensions) if name not in run.arm]
            if unknown:
                raise ConfigError(
                    f"study.report.dimensions: {unknown[0]} is not varied in every slice: {list(run.arm)}"
                )
            scores = scores_of(run)
            if np.ptp(scores.goodness_N) > 0:
                scorers.setdefault(run.arm["scorer"], []).append((run, scores))
        return scorers

    def _agreements(self, runs: Sequence[tuple[PlannedRun, Scores]]) -> dict[str, dict[int, list[Agreement]]]:
        """Return dimension -> seed (the first of the pair) -> agreements."""
        found: dict[str, dict[int, list[Agreement]]] = {}
        for (one, first), (other, second) in combinations(runs, 2):
            differs = [name for name in self.dimensions if one.arm[name] != other.arm[name]]
            differs += [SEED] if one.seed != other.seed else []
            if len(differs) == 1 and np.array_equal(first.ids_N, second.ids_N):
                pairs = found.setdefault(differs[0], {})
                if not first.is_reused(second):
                    pairs.setdefault(one.seed, []).append(agree(first, second, self.overlap_ratio))
        order = [SEED, *self.dimensions]
        return {name: found[name] for name in order if name in found}

    def _cells(
        self, by_seed: Mapping[int, Sequence[Agreement]], dimension: str, runs: Sequence[tuple[PlannedRun, Scores]]
    ) -> list[Cell]:
        if not by_seed:
            return [NOT_MEASURED, NOT_MEASURED]
        means_S2 = np.array([np.mean(pairs, axis=0) for pairs in by_seed.values()])
        if dimension == SEED or len(by_seed) < 2:
            return [float(value) for value in np.mean([pair for pairs in by_seed.values() for pair in pairs], axis=0)]
        num_half = min(len(scores.ids_N) for _, scores in runs) // 2
        return [self._ranged(means_S2[:, k], LOWEST[k], num_half) for k in range(2)]

    def _ranged(self, mean_S: NDArray[np.float64], lowest: float, num_half: int) -> Ranged:
        span = 1 - lowest
        low, high = auc_interval((mean_S - lowest) / span, num_half, self.alpha)
        return Ranged(float(mean_S.mean()), lowest + span * low, lowest + span * high)

    def _figure(self, rows: Sequence[Sequence[Cell]]) -> Figure:
        scorers, dimensions = (list(dict.fromkeys(str(row[k]) for row in rows)) for k in range(2))
        values = {(row[0], row[1]): _value(row[2]) for row in rows if row[2] != NOT_MEASURED}
        trace = go.Heatmap(
            x=dimensions,
            y=scorers,
            z=[[values.get((scorer, dimension)) for dimension in dimensions] for scorer in scorers],
            zmin=-1,
            zmax=1,
            colorscale=BLUE_TO_RED,
            reversescale=True,
            texttemplate="%{z:.2f}",
            hovertemplate="%{y}, other %{x}<br>%{z:.3f}<extra></extra>",
        )
        note = "Spearman's correlation between the scores of two runs, mean over pairs; 1 means the same ranking."
        plot = heat_map(trace, "what differs")
        return Figure("stability", "How far a score agrees with itself", note, plot.to_plotly_json())


def _answer(rows: Sequence[Sequence[Cell]]) -> str:
    """Return the range over scorers, then one sentence per scorer, its dimensions from the most to the least stable."""
    sentences = [f"Rank correlation of a score with itself: {'; '.join(_spans(rows))}."]
    for scorer in dict.fromkeys(row[0] for row in rows):
        own = [row for row in rows if row[0] == scorer]
        measured = sorted((row for row in own if row[2] != NOT_MEASURED), key=lambda row: -_value(row[2]))
        parts = [f"{_value(row[2]):.2f} with another {row[1]}" for row in measured]
        parts += [f"{NOT_MEASURED} with another {row[1]}" for row in own if row[2] == NOT_MEASURED]
        sentences.append(f"{scorer}: {', '.join(parts)}.")
    return "\n".join(sentences)


def _spans(rows: Sequence[Sequence[Cell]]) -> list[str]:
    """Return the lowest and the highest correlation over scorers for each thing that differs."""
    spans = []
    for what in dict.fromkeys(row[1] for row in rows):
        found = sorted((_value(row[2]), str(row[0])) for row in rows if row[1] == what and row[2] != NOT_MEASURED)
        ends = [f"{value:.2f} ({scorer})" for value, scorer in dict.fromkeys([*found[:1], *found[-1:]])]
        spans.append(f"{' to '.join(ends) or NOT_MEASURED} with another {what}")
    return spans


def _value(cell: Cell) -> float:
    return cell.value if isinstance(cell, Ranged) else float(cell or 0)
