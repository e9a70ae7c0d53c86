"""What the scores of a study are made of: agreement, stability over seeds, length and source.

Shape suffixes: K scorers, N documents.
"""

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import pyarrow.parquet as pq
from numpy.typing import NDArray

from delt_exp.report.findings import Cell, Figure, Table
from delt_exp.report.stages import own_stage
from delt_exp.scorer.table import ScoreTable
from delt_exp.statistics.diagnostics import length_correlation, rank_agreement, source_share, top_overlap
from delt_exp.study.comparison.arms import Panel
from delt_exp.study.comparison.cost import scaled
from delt_exp.study.figures import BLUE_TO_RED, BLUE_TO_WHITE, chooser, heat_map
from delt_exp.study.record import PlannedRun

Matrix = NDArray[np.float64]
NOT_MEASURED = "not measured"


class Scores(NamedTuple):
    """Scores of one scorer with one seed, turned so that higher is better; key: of their stage, None if not known."""

    ids_N: NDArray[np.uint64]
    goodness_N: NDArray[np.float32]
    tokens_N: NDArray[np.int64]
    source_N: NDArray[Any]
    key: str | None

    def is_reused(self, other: "Scores") -> bool:
        """Whether both are one scoring that was computed once: their agreement says nothing."""
        return self.key is not None and self.key == other.key


ByScorer = Mapping[str, Mapping[int, Scores]]


def scores_by_scorer(panel: Panel) -> ByScorer:
    """Return the scores of every scorer, by seed; scores that are all equal are left out, for they say nothing."""
    found: dict[str, dict[int, Scores]] = {}
    for arm in panel.arms:
        for seed, run in arm.runs.items():
            if seed not in found.setdefault(arm.choice("scorer"), {}):
                scores = scores_of(run)
                if np.ptp(scores.goodness_N) > 0:
                    found[arm.choice("scorer")][seed] = scores
    return {scorer: by_seed for scorer, by_seed in found.items() if by_seed}


def scores_of(run: PlannedRun) -> Scores:
    """Return the scores of a finished run."""
    path = Path(run.folder) / "scores.parquet"
    table, more = ScoreTable.load(path), pq.read_table(path, columns=["source", "tokens"])
    sources = more["source"].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    key = own_stage(run.record() or {}, "scores").get("key")
    return Scores(table.ids, table.goodness, more["tokens"].to_numpy(), sources, key)


def agreement_figure(scores: ByScorer, ratio: float) -> Figure | None:
    """Return Spearman's correlation and the overlap of the best documents of every two scorers; None for one."""
    names, spearman_KK, overlap_KK = agreement(scores, ratio)
    if len(names) < 2:
        return None
    plots = {
        "Spearman": _matrix(names, spearman_KK, BLUE_TO_RED, -1.0),
        f"overlap of the best {100 * ratio:g} %": _matrix(names, overlap_KK, BLUE_TO_WHITE, 0.0),
    }
    note = (
        "Mean over common seeds; scores are turned so that higher is better. By chance the overlap is "
        f"{ratio:.2f} and Spearman's correlation 0."
    )
    return Figure("agreement", "Do scorers agree?", note, chooser(plots).to_plotly_json())


def _matrix(names: list[str], matrix_KK: Matrix, colours: Any, lowest: float) -> Any:
    trace = go.Heatmap(
        x=names,
        y=names,
        z=[[None if np.isnan(value) else float(value) for value in row] for row in matrix_KK],
        zmin=lowest,
        zmax=1.0,
        colorscale=colours,
        reversescale=True,
        texttemplate="%{z:.2f}",
        hovertemplate="%{y} · %{x}<br>%{z:.3f}<extra></extra>",
    )
    return heat_map(trace)


def agreement(scores: ByScorer, ratio: float) -> tuple[list[str], Matrix, Matrix]:
    """Return the scorers, Spearman's correlation [K, K] and top overlap [K, K]; nan without a common seed and corpus.

    Means over common seeds.
    """
    names = list(scores)
    spearman_KK, overlap_KK = (np.full((len(names), len(names)), np.nan) for _ in range(2))
    for first, second in combinations(range(len(names)), 2):
        one, other = scores[names[first]], scores[names[second]]
        pairs = [(one[seed], other[seed]) for seed in sorted(set(one) & set(other))]
        pairs = [(a, b) for a, b in pairs if np.array_equal(a.ids_N, b.ids_N)]
        if pairs:
            found = [agree(a, b, ratio) for a, b in pairs]
            for matrix_KK, value in zip((spearman_KK, overlap_KK), np.mean(found, axis=0), strict=True):
                matrix_KK[first, second] = matrix_KK[second, first] = value
    np.fill_diagonal(spearman_KK, 1.0)
    np.fill_diagonal(overlap_KK, 1.0)
    return names, spearman_KK, overlap_KK


def agree(one: Scores, other: Scores, ratio: float) -> tuple[float, float]:
    """Return Spearman's correlation and the overlap of the best `ratio` of the documents, of scores of one corpus."""
    goodness_KN = np.stack([one.goodness_N, other.goodness_N])
    return float(rank_agreement(goodness_KN)[0, 1]), float(top_overlap(one.ids_N, goodness_KN, ratio)[0, 1])


def stability(by_seed: Mapping[int, Scores], ratio: float) -> tuple[Cell, Cell]:
    """Return the mean Spearman's correlation and top overlap over pairs of seeds; None for one seed or corpus each.

    Seeds that share one scoring measure nothing: they are left out, and "not measured" where there are no others.
    """
    pairs = [pair for pair in combinations(by_seed.values(), 2) if np.array_equal(pair[0].ids_N, pair[1].ids_N)]
    if not pairs:
        return None, None
    own = [(one, other) for one, other in pairs if not one.is_reused(other)]
    if not own:
        return NOT_MEASURED, NOT_MEASURED
    spearman, overlap = np.mean([agree(one, other, ratio) for one, other in own], axis=0)
    return float(spearman), float(overlap)


def scorers_table(panel: Panel, scores: ByScorer, ratio: float) -> Table:
    """Return one row per scorer: stability over seeds, length, source, cost."""
    rows: list[list[Cell]] = []
    for scorer, by_seed in scores.items():
        arm = next(arm for arm in panel.arms if arm.choice("scorer") == scorer)
        length = np.mean([length_correlation(one.goodness_N, one.tokens_N) for one in by_seed.values()
                          if np.ptp(one.tokens_N) > 0] or [np.nan])  # fmt: skip
        source = np.mean([source_share(one.goodness_N, one.source_N) for one in by_seed.values()])
        num_sources = max(len(np.unique(one.source_N)) for one in by_seed.values())
        rows.append([
            scorer, len(by_seed), *stability(by_seed, ratio), None if np.isnan(length) else float(length),
            float(source) if num_sources > 1 else None, arm.cost.scoring_seconds, scaled(arm.cost.scoring_flops, 1e12),
            scaled(arm.cost.peak_bytes, 1e9),
        ])  # fmt: skip
    columns = [
        "scorer", "seeds", "Spearman between seeds", f"overlap between seeds, best {100 * ratio:g} %",
        "Spearman with length", "share between sources", f"scoring [{panel.arms[0].cost.unit}]", "scoring [TFLOPs]",
        "peak of scoring [GB]",
    ]  # fmt: skip
    note = (
        "Higher scores count as better. A score that differs between seeds as much as a random one cannot help; where "
        "the seeds share one scoring, that is not measured. A score that follows length is length in disguise. Share "
        "between sources: eta squared of the ranks, empty for one source. Means over seeds."
    )
    return Table("scorers", "What the scores are made of", note, columns, rows)
