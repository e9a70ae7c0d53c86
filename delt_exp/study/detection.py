"""Do scores find planted bad documents? The area under the ROC curve of every scorer, over seeds."""

from collections.abc import Mapping, Sequence
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
from delt_exp.report.findings import Cell, Difference, Figure, Findings, Table
from delt_exp.scorer.lqs.settings import ANNOTATED
from delt_exp.scorer.table import ScoreTable
from delt_exp.statistics.diagnostics import auc, auc_interval
from delt_exp.statistics.families import DETECTABLE, Comparison, holm_by_key
from delt_exp.statistics.paired import MetricArm
from delt_exp.store.evidence import Evidence
from delt_exp.study.comparison.outcomes import compare_paired
from delt_exp.study.figures import BLUE_TO_RED, LINE, chooser, heat_map
from delt_exp.study.forest import dots
from delt_exp.study.record import PlannedRun, StudyRecord

ALL_KINDS = "all"
CHANCE = 0.5
NAMED = 4  # scorers in a sentence; of more, only their number is given
Values = Mapping[tuple[str, str, str], Mapping[int, tuple[float, int]]]
"""AUC and the documents of its smaller side, by (panel, scorer, kind of spoiling) and seed."""
Intervals = Mapping[tuple[str, str, str], tuple[float, float]]
Arms = Mapping[tuple[str, str, str], MetricArm]
Compared = Mapping[tuple[str, str, str], Comparison]


@settings
class DetectionReport:
    """AUC = P(a planted document scores worse than a clean one), 0.5 for a score without information.

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
        figures = [self._figure(arms, intervals, compared), self._kinds(arms)]
        tables = [
            self._verdicts(arms, intervals, compared), self._found(arms, intervals), self._by_kind(arms, intervals),
        ]  # fmt: skip
        answer = self._answer(arms, intervals, compared, panels)
        return Findings(answer, [one for one in figures if one], [table for table in tables if table.rows])

    def _values(self, study: StudyRecord) -> Values:
        values: dict[tuple[str, str, str], dict[int, tuple[float, int]]] = {}
        for run in study.finished():
            for (scorer, kind), value in _aucs(run).items():
                by_seed = values.setdefault((run.arm[self.panel], scorer, kind), {})
                if run.seed in by_seed:
                    raise DataError(
                        f"{study.folder}: {run.arm[self.panel]}, {scorer} has two runs of seed {run.seed}; a study of "
                        f"detection varies {self.panel} and scorer alone: make other choices part of a scorer's arm"
                    )
                by_seed[run.seed] = value
        return values

    def _compared(self, arms: Mapping[tuple[str, str, str], MetricArm]) -> dict[tuple[str, str, str], Comparison]:
        """Return every scorer against the baseline of its panel, all kinds together, as one family."""
        found: dict[tuple[str, str, str], Comparison] = {}
        for key, arm in arms.items():
            base = arms.get((key[0], self.baseline, ALL_KINDS))
            if key[2] == ALL_KINDS and key[1] != self.baseline and base is not None:
                pair = compare_paired(arm, base, self.alpha)
                found |= {key: pair} if pair else {}
        return holm_by_key(found)

    def _verdicts(self, arms: Arms, intervals: Intervals, compared: Compared) -> Table:
        """Return one row per panel and scorer, the best first, all kinds of spoiling together."""
        rows: list[list[Cell]] = []
        for key in _ranked(arms):
            verdict = "baseline" if key[1] == self.baseline else compared[key].verdict if key in compared else ""
            auc_cell, pair = Ranged(arms[key].estimate.value, *intervals[key]), compared.get(key)
            p, detectable = (pair.p_holm, pair.detectable) if pair else (None, None)
            rows.append([key[1], verdict, Difference.of(pair), p, detectable, auc_cell, key[0], len(arms[key].seeds_S)])
        columns = [
            "scorer", "verdict", f"minus {self.baseline}", "p (Holm)", "minimum detectable effect", "AUC", self.panel,
            "seeds",
        ]  # fmt: skip
        note = (
            f"Best first. AUC with its {100 * (1 - self.alpha):g} % t-interval over seeds (on the logit scale); 0.5 "
            f"for a score without information. Verdicts against {self.baseline}, Holm-corrected ({len(compared)} "
            f"comparisons). {DETECTABLE}"
        )
        return Table("verdicts", "Verdicts", note, columns, rows, is_answer=True)

    def _found(self, arms: Arms, intervals: Intervals) -> Table:
        """Return the kinds of damage that each scorer finds, prefers or is not shown to tell; none of a single kind."""
        kinds = [kind for kind in dict.fromkeys(key[2] for key in arms) if kind != ALL_KINDS]
        rows: list[list[Cell]] = []
        for panel, scorer, _ in _ranked(arms) if len(kinds) > 1 else ():
            told: dict[str, list[str]] = {"finds": [], "not shown": [], "prefers": []}
            for key in ((panel, scorer, kind) for kind in kinds if (panel, scorer, kind) in arms):
                low, high = intervals[key]
                word = "finds" if low > CHANCE else "prefers" if high < CHANCE else "not shown"
                interval = f" [{low:.2f}, {high:.2f}]" if word == "not shown" else ""
                told[word].append(f"{key[2]} {arms[key].estimate.value:.2f}{interval}")
            rows.append([scorer, *map(", ".join, told.values()), panel])
        note = (
            "Kinds of damage with their AUC against clean documents: found where its interval lies above 0.5, "
            "preferred where it lies below. A description: these intervals are not corrected for their number."
        )
        columns = ["scorer", "finds", "not shown to tell from clean text", "prefers to clean text", self.panel]
        return Table("found", "What each score finds and what it cannot see", note, columns, rows, is_answer=True)

    def _by_kind(self, arms: Arms, intervals: Intervals) -> Table:
        rows: list[list[Cell]] = [
            [scorer, kind, Ranged(arm.estimate.value, *intervals[panel, scorer, kind]), panel, len(arm.seeds_S)]
            for (panel, scorer, kind), arm in arms.items()
        ]
        note = f"AUC of each kind against clean documents, with its {100 * (1 - self.alpha):g} % t-interval over seeds."
        columns = ["scorer", "spoiled by", "AUC", self.panel, "seeds"]
        return Table("detection", "AUC by kind of damage", note, columns, rows, folded=True)

    def _answer(self, arms: Arms, intervals: Intervals, compared: Compared, panels: Sequence[str]) -> str:
        better = [f"{scorer} ({panel})" for (panel, scorer, _), one in compared.items() if one.is_better]
        which = f": {', '.join(better)}" if 0 < len(better) <= NAMED else ""
        count = f"In {len(better)} of {len(compared)} comparisons a scorer is better than {self.baseline}{which}."
        panel_sentences = [
            text for panel in panels
            for text in (self._best(panel, arms, intervals, compared), self._open(panel, arms, intervals, compared))
        ]  # fmt: skip
        return "\n".join(filter(None, [count, *panel_sentences]))

    def _best(self, panel: str, arms: Arms, intervals: Intervals, compared: Compared) -> str:
        best = next((key for key in _ranked(arms) if key[0] == panel), None)
        if best is None:
            return f"On {panel}, no scorer is finished with two seeds yet."
        pair = compared.get(best)
        sentence = f"On {panel}, {best[1]} has the highest AUC, {_told(arms[best], intervals[best])}"
        if pair is not None:
            base = arms[panel, self.baseline, ALL_KINDS].estimate.value
            word = "than" if pair.is_clear else "from"
            sentence += f", and is {pair.verdict} {word} {self.baseline} at {base:.3f}"
        return f"{sentence}."

    def _open(self, panel: str, arms: Arms, intervals: Intervals, compared: Compared) -> str:
        """Return which scorers are not distinguishable from the baseline of a panel, and what would have been."""
        unclear = {key: pair for key, pair in compared.items() if key[0] == panel and not pair.is_clear}
        if not 0 < len(unclear) <= NAMED:
            return ""
        texts = [
            f"{key[1]} {_told(arms[key], intervals[key])} (a difference of {pair.detectable:.2g} would be detected)"
            for key, pair in unclear.items()
        ]
        return f"Not distinguishable from {self.baseline} on {panel}: {', '.join(texts)}."

    def _figure(self, arms: Arms, intervals: Intervals, compared: Compared) -> Figure:
        """One row per scorer, one colour per panel, all kinds together."""
        keys = _ranked(arms)
        groups = {panel: {key[1]: Ranged(arms[key].estimate.value, *intervals[key]) for key in keys if key[0] == panel}
                  for panel in dict.fromkeys(key[0] for key in keys)}  # fmt: skip
        sure = [key for key, pair in compared.items() if pair.is_clear]
        clear = {panel: {key[1] for key in sure if key[0] == panel} for panel in groups}
        plot = dots(groups, list(dict.fromkeys(key[1] for key in keys)), "AUC", clear, at_least=(0.0, 1.0))
        plot.add_vline(0.5, line={"color": LINE, "dash": "dot"}, annotation={"text": "chance", "yanchor": "bottom"})
        note = (
            f"Means over seeds with {100 * (1 - self.alpha):g} % t-intervals; filled points are better or worse than "
            f"{self.baseline} after Holm's correction."
        )
        return Figure("verdicts", "Which scores detect the planted documents", note, plot.to_plotly_json())

    def _kinds(self, arms: Arms) -> Figure | None:
        """Return what each scorer finds, one heat map per panel; None for a single kind of spoiling."""
        plots = {panel: _heat_map({key: arm for key, arm in arms.items() if key[0] == panel})
                 for panel in dict.fromkeys(key[0] for key in arms)}  # fmt: skip
        if all(len(plot.data[0].x) < 3 for plot in plots.values()):
            return None
        note = (
            "AUC, mean over seeds: 1 detects all, 0.5 (white) is chance; below it the planted documents score better."
        )
        return Figure("detection", "What each score detects", note, chooser(plots).to_plotly_json())


def _ranked(arms: Arms) -> list[tuple[str, str, str]]:
    """Return the arms over all kinds, panel by panel, the highest AUC first."""
    panels = list(dict.fromkeys(panel for panel, _, _ in arms))
    keys = [key for key in arms if key[2] == ALL_KINDS]
    return sorted(keys, key=lambda key: (panels.index(key[0]), -arms[key].estimate.value))


def _told(arm: MetricArm, interval: tuple[float, float]) -> str:
    return f"{arm.estimate.value:.3f} [{interval[0]:.3f}, {interval[1]:.3f}]"


def _heat_map(arms: Arms) -> Any:
    kinds, scorers = list(dict.fromkeys(key[2] for key in arms)), [key[1] for key in _ranked(arms)]
    values = {(scorer, kind): arm.estimate.value for (_, scorer, kind), arm in arms.items()}
    trace = go.Heatmap(
        x=kinds, y=scorers, z=[[values.get((scorer, kind)) for kind in kinds] for scorer in scorers], zmin=0, zmax=1,
        colorscale=BLUE_TO_RED, reversescale=True, texttemplate="%{z:.2f}",
        hovertemplate="%{y}, %{x}<br>AUC %{z:.3f}<extra></extra>",
    )  # fmt: skip
    return heat_map(trace, "spoiled by")


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
