"""The agreement of each scorer's runs with what retraining found. N documents, C groups, M halves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from delt_exp.errors import DataError
from delt_exp.quantity import Ranged
from delt_exp.report.cost import CPU, WALL, Clock, WorkCost, scoring_cost, scoring_seconds
from delt_exp.scorer.datamodel.evidence import Gold, read
from delt_exp.scorer.table import ScoreTable
from delt_exp.statistics.datamodeling import agreement, joined, rank_correlations
from delt_exp.statistics.families import holm_p
from delt_exp.store.evidence import Evidence
from delt_exp.study.comparison.cost import median_known
from delt_exp.study.record import PlannedRun

Floats = NDArray[np.float64]
AGREES, REVERSE = "agrees", "the wrong way round"
Golds = Mapping[tuple[str, int], Gold]
"""What retraining found, by pool and seed."""


@dataclass(frozen=True, eq=False)
class Agreed:
    """One scorer on one pool, over its seeds.

    sums: its linear datamodeling score, agreement of the sum of its scores over a half with the worth of the half; p of
    it by permutation of the groups, p_holm over all scorers of all pools, band: what 95 % of permutations stay within.
    means: the same of the mean score per token. values: rank correlation of a group's mean score with its value.
    cost: of scoring, median over seeds (None where one is not recorded), by `clock`, the same for all; of `gold`,
    without the halves that only test.
    """

    pool: str
    scorer: str
    sums: Ranged
    p: float
    band: float
    means: float
    values: float
    cost: WorkCost
    clock: Clock
    alpha: float
    p_holm: float = 1.0

    @property
    def unit(self) -> str:
        """The unit of the seconds of `cost`, by their clock."""
        return "CPU s" if self.clock == CPU else "s"

    @property
    def verdict(self) -> str:
        if self.p_holm >= self.alpha:
            return "not distinguishable from permuted"
        return AGREES if self.sums.value > 0 else REVERSE


def read_golds(runs: Sequence[PlannedRun], pool: str, gold: str) -> dict[tuple[str, int], Gold]:
    """Return what the runs of the scorer `gold` left."""
    found = {
        (run.arm[pool], run.seed): read(Evidence(Path(run.folder) / "evidence"))
        for run in runs
        if run.arm["scorer"] == gold
    }
    return {key: one for key, one in found.items() if one is not None}


def read_agreed(
    runs: Sequence[PlannedRun], pool: str, gold: str, golds: Golds, permutations: int, alpha: float, seed: int
) -> list[Agreed]:
    """Return every scorer on every pool that was retrained, corrected by Holm's method as one family."""
    clock: Clock = CPU if all(scoring_seconds(run.record() or {}, CPU) is not None for run in runs) else WALL
    by_scorer: dict[tuple[str, str], list[PlannedRun]] = {}
    for run in runs:
        if (run.arm[pool], run.seed) in golds:
            by_scorer.setdefault((run.arm[pool], run.arm["scorer"]), []).append(run)
    found = []
    for (name, scorer), own in by_scorer.items():
        pairs = [(run, golds[name, run.seed]) for run in own]
        one = _agreed(name, scorer, pairs, permutations, alpha, seed, clock)
        found.append(replace(one, cost=_of_share(one.cost, pairs[0][1].fitted_share)) if scorer == gold else one)
    p_holm = holm_p(np.array([one.p for one in found]))
    return [replace(one, p_holm=float(p)) for one, p in zip(found, p_holm, strict=True)]


def _agreed(
    pool: str, scorer: str, pairs: Sequence[tuple[PlannedRun, Gold]], permutations: int, alpha: float, seed: int,
    clock: Clock,
) -> Agreed:  # fmt: skip
    parts, means, values = [], [], []
    for run, gold in pairs:
        sums_C, weighted_C, tokens_C, sizes_C = _by_group(run, gold)
        parts.append(agreement(sums_C, gold.held_out_MC, gold.worth, permutations, seed))
        means_M = (gold.held_out_MC @ weighted_C) / (gold.held_out_MC @ tokens_C)
        means.append(rank_correlations(means_M[None], gold.worth)[0])
        values.append(rank_correlations((sums_C / sizes_C)[None], gold.values_C)[0])
    sums, p = joined(parts, alpha)
    band = float(np.quantile(np.abs(np.mean([part.permuted_P for part in parts], axis=0)), 1 - alpha))
    costs = [scoring_cost(run.record() or {}, clock) for run, _ in pairs]
    cost = WorkCost(*map(median_known, zip(*costs, strict=True)))
    return Agreed(pool, scorer, sums, p, band, float(np.mean(means)), float(np.mean(values)), cost, clock, alpha)


def _of_share(cost: WorkCost, share: float) -> WorkCost:
    seconds, flops = (None if part is None else share * part for part in cost[:2])
    return cost._replace(seconds=seconds, flops=flops)


def _by_group(run: PlannedRun, gold: Gold) -> tuple[Floats, Floats, Floats, Floats]:
    """Return [C] goodness, goodness times tokens, tokens and documents; raises DataError for other documents."""
    path = Path(run.folder) / "scores.parquet"
    table, tokens_N = ScoreTable.load(path), pq.read_table(path, columns=["tokens"])["tokens"].to_numpy()
    if not np.array_equal(table.ids, gold.ids_N):
        raise DataError(f"{path} has other documents than the retrained ones; give both the same train_dataset")
    goodness_N = table.goodness.astype(np.float64)
    count = len(gold.values_C)
    weights = (goodness_N, goodness_N * tokens_N, tokens_N.astype(np.float64), np.ones(len(gold.of_N)))
    sums_C, weighted_C, tokens_C, sizes_C = (np.bincount(gold.of_N, each, count).astype(np.float64) for each in weights)
    return sums_C, weighted_C, tokens_C, sizes_C
