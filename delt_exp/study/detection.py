"""Do scores find planted bad documents? The area under the ROC curve of every scorer, over seeds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pyarrow.parquet as pq
from numpy.typing import NDArray

from delt_exp.config.fields import ProperShare, settings
from delt_exp.dataset.spoiled import CLEAN
from delt_exp.errors import DataError
from delt_exp.quantity import Ranged
from delt_exp.report.findings import Figure, Findings, Table
from delt_exp.scorer.lqs.settings import ANNOTATED
from delt_exp.scorer.table import ScoreTable
from delt_exp.statistics.diagnostics import auc, auc_interval
from delt_exp.statistics.families import Comparison, holm
from delt_exp.statistics.paired import MetricArm
from delt_exp.store.evidence import Evidence
from delt_exp.study.comparison.outcomes import compare_paired
from delt_exp.study.figures import error_bars, figure
from delt_exp.study.record import PlannedRun, StudyRecord

ALL_KINDS = "all"
Values = Mapping[tuple[str, str, str], Mapping[int, tuple[float, int]]]
"""AUC and the documents of its smaller side, by (panel, scorer, kind of spoiling) and seed."""
Intervals = Mapping[tuple[str, str, str], tuple[float, float]]


@settings
class DetectionReport:
    """AUC = P(a planted document scores worse than a clean one), 0.5 for a score that knows nothing.

    Runs need a dataset whose `source` says which documents are clean. panel: the dimension that makes separate tables
    (a corpus each). Intervals are t over seeds on the logit scale at level `alpha`; every scorer is compared
    with `baseline` in its panel over the seeds that both have, Holm over all of these comparisons of the study.
    """

    panel: str
    baseline: str
    alpha: ProperShare

    def findings(self, study: StudyRecord) -> Findings:
        """Return the figure and the table; raises DataError when fewer than two seeds are finished."""
        values = self._values(study)
        panels = list(dict.fromkeys(panel for panel, _, _ in values))
        arms = {key: _arm(key, by_seed) for key, by_seed in values.items() if len(by_seed) >= 2}
        if not arms:
            raise DataError(f"{study.folder}: no scorer is finished with two seeds yet; repeat the study's command")
        intervals = {key: _interval(values[key], self.alpha) for key in arms}
        compared = self._compared(arms)
        rows = [self._row(key, arm, intervals[key], compared.get(key)) for key, arm in arms.items()]
        columns = [
            self.panel,
            "scorer",
            "spoiled by",
            "AUC",
            "seeds",
            f"minus {self.baseline}",
            "verdict",
        ]
        note = (
            f"AUC with its {100 * (1 - self.alpha):g} % t-interval over seeds (on the logit scale); difference from "
            f"{self.baseline}, all kinds together; verdict after Holm's correction over {len(compared)} comparisons."
        )
        table = Table("detection", "Area under the ROC curve", note, columns, rows)
        return Findings(self._answer(arms, compared, panels), [self._figure(arms, intervals, panels)], [table])

    def _values(self, study: StudyRecord) -> Values:
        values: dict[tuple[str, str, str], dict[int, tuple[float, int]]] = {}
        for run in study.finished():
            for (scorer, kind), value in _aucs(run).items():
                values.setdefault((run.arm[self.panel], scorer, kind), {})[run.seed] = value
        return values

    def _compared(self, arms: Mapping[tuple[str, str, str], MetricArm]) -> dict[tuple[str, str, str], Comparison]:
        """Return every scorer against the baseline of its panel, all kinds together, as one family."""
        found: dict[tuple[str, str, str], Comparison] = {}
        for key, arm in arms.items():
            base = arms.get((key[0], self.baseline, ALL_KINDS))
            if key[2] == ALL_KINDS and key[1] != self.baseline and base is not None:
                pair = compare_paired(arm, base, self.alpha)
                found |= {key: pair} if pair else {}
        return dict(zip(found, holm(list(found.values())), strict=True)) if found else {}

    def _row(
        self, key: tuple[str, str, str], arm: MetricArm, interval: tuple[float, float], compared: Comparison | None
    ) -> list[Any]:
        difference = (
            [None, ""] if compared is None else [Ranged(compared.estimate.value, *compared.interval), compared.verdict]
        )
        return [*key, Ranged(arm.estimate.value, *interval), len(arm.seeds_S), *difference]

    def _answer(
        self, arms: Mapping[tuple[str, str, str], MetricArm], compared: Mapping[Any, Comparison], panels: list[str]
    ) -> str:
        sentences = []
        for panel in panels:
            board = {key[1]: arm.estimate.value for key, arm in arms.items() if key[0] == panel and key[2] == ALL_KINDS}
            if not board:
                sentences.append(f"On {panel}, no scorer is finished with two seeds yet")
                continue
            best = max(board, key=lambda name: board[name])
            sentences.append(f"On {panel}, {best} has the highest AUC, {board[best]:.3f}")
            pair = compared.get((panel, best, ALL_KINDS))
            if pair is not None:
                word = "from" if pair.verdict.startswith("not") else "than"
                sentences[-1] += f", and is {pair.verdict} {word} {self.baseline} at {board[self.baseline]:.3f}"
        better = sum(one.verdict == "better" for one in compared.values())
        sentences.append(f"{better} of {len(compared)} comparisons find a scorer better than {self.baseline}")
        return ". ".join(sentences) + "."

    def _figure(
        self, arms: Mapping[tuple[str, str, str], MetricArm], intervals: Intervals, panels: list[str]
    ) -> Figure:
        """One group of points per scorer, one colour per panel, all kinds together."""
        traces = []
        for panel in panels:
            keys = [key for key in arms if key[0] == panel and key[2] == ALL_KINDS]
            means = [Ranged(arms[key].estimate.value, *intervals[key]) for key in keys]
            traces.append(
                go.Scatter(
                    name=panel,
                    x=[scorer for _, scorer, _ in keys],
                    y=[mean.value for mean in means],
                    error_y=error_bars(means),
                    mode="markers",
                    marker_size=9,
                )
            )
        yaxis, legend = {"title": {"text": "AUC"}, "range": [0, 1.02]}, {"orientation": "h", "y": 1.12}
        plot = figure(traces, 440, scattermode="group", xaxis_automargin=True, yaxis=yaxis, legend=legend)
        plot.update_xaxes(categoryorder="array", categoryarray=list(dict.fromkeys(scorer for _, scorer, _ in arms)))
        plot.add_hline(0.5, line_dash="dot")
        level = f"{100 * (1 - self.alpha):g} %"
        note = f"Means over seeds with {level} t-intervals; the dotted line is a score that knows nothing."
        return Figure("detection", "Which scores find the planted documents", note, plot.to_plotly_json())


def _arm(key: tuple[str, str, str], by_seed: Mapping[int, tuple[float, int]]) -> MetricArm:
    seeds = tuple(sorted(by_seed))
    return MetricArm(key[1], seeds, np.array([by_seed[seed][0] for seed in seeds]), "higher", "AUC")


def _interval(by_seed: Mapping[int, tuple[float, int]], alpha: float) -> tuple[float, float]:
    return auc_interval(np.array([value for value, _ in by_seed.values()]), min(n for _, n in by_seed.values()), alpha)


def _aucs(run: PlannedRun) -> dict[tuple[str, str], tuple[float, int]]:
    """Return AUC and documents of its smaller side, by scorer and kind: all planted, each kind against clean ones.

    A run that annotated documents by LQS also has the four scores of its annotation, on these documents alone.
    """
    path = Path(run.folder) / "scores.parquet"
    table, goodness = pq.read_table(path, columns=["id", "source"]), ScoreTable.load(path).goodness
    source = np.asarray(table["source"].to_pylist())
    if (source == CLEAN).all():
        raise DataError(f"{path} has no planted documents; the study needs train_dataset=spoiled")
    found = {(run.arm["scorer"], kind): value for kind, value in _by_kind(goodness, source).items()}
    annotated = Evidence(Path(run.folder) / "evidence").read_table(ANNOTATED)
    if annotated is not None:
        row = {int(i): n for n, i in enumerate(table["id"].to_numpy())}
        own = source[[row[int(i)] for i in annotated["id"].to_numpy()]]
        for score in annotated.column_names[1:]:
            values = _by_kind(annotated[score].to_numpy(), own)
            found |= {(f"{score}, annotated", kind): value for kind, value in values.items()}
    return found


def _by_kind(goodness: NDArray[np.floating], source: NDArray[np.str_]) -> dict[str, tuple[float, int]]:
    values = {ALL_KINDS: _auc(-goodness, source != CLEAN)}
    for kind in sorted(set(source) - {CLEAN}):
        chosen = (source == CLEAN) | (source == kind)
        values[kind] = _auc(-goodness[chosen], source[chosen] == kind)
    return values


def _auc(scores: NDArray[np.floating], planted: NDArray[np.bool_]) -> tuple[float, int]:
    return auc(scores, planted), int(min(planted.sum(), (~planted).sum()))
