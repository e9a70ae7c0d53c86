"""What the runs of a study are compared by: the loss on every evaluation document, or a metric.

Shape suffixes: S seeds, D evaluation documents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from delt_exp.errors import DataError
from delt_exp.statistics.families import Comparison, compare
from delt_exp.statistics.paired import LossArm, MetricArm
from delt_exp.study.record import PlannedRun

LOSS = "loss"
LOSSES, AVERAGED = "losses.parquet", "losses_averaged.parquet"  # of the last weights, and of averaged ones
Outcome = LossArm | MetricArm


class Documents(NamedTuple):
    """Losses of one model on one evaluation set."""

    ids_D: NDArray[np.uint64]
    num_tokens_D: NDArray[np.int64]
    sum_nats_D: NDArray[np.float64]


Measured = Mapping[str, Any]
"""One run by evaluation set: `Documents`, or the row of the metric in the record's results."""


def measured(run: PlannedRun, metric: str, losses: str = LOSSES) -> Measured:
    """Return what a run has of the metric; raises DataError where it has nothing.

    losses: the file of its folder that holds those of documents.
    """
    path = Path(run.folder) / losses
    if metric == LOSS and path.exists():
        table = pq.read_table(path)
        parts = {name: table.filter(pc.equal(table["dataset"], name)) for name in table["dataset"].unique().to_pylist()}
        columns = ("id", "num_tokens", "sum_nats")
        return {name: Documents(*(part[column].to_numpy() for column in columns)) for name, part in parts.items()}
    record = run.record() or {"results": []}
    rows = {row["dataset"]: row for row in record["results"] if row["metric"] == metric}
    if metric == LOSS or not rows:
        raise DataError(
            f"{run.folder} has no {metric} of evaluation documents; choose an eval_dataset that measures it and repeat "
            "the study's command (finished stages are reused)"
        )
    return rows


def common_sets(runs: Sequence[Measured]) -> list[str]:
    """Return the evaluation sets that all runs have, with the same documents and tokens where these are known."""

    def same(first: Any, other: Any) -> bool:
        if not isinstance(first, Documents):
            return other is not None
        return other is not None and all(map(np.array_equal, first[:2], other[:2]))

    return [name for name, first in runs[0].items() if all(same(first, run.get(name)) for run in runs)]


def mean_of(runs: Sequence[Measured], sets: Sequence[str]) -> Measured:
    """Return the mean of runs with the same documents in these evaluation sets, document by document."""

    def mean(values: Sequence[Any]) -> Any:
        if isinstance(values[0], Documents):
            return values[0]._replace(sum_nats_D=np.mean([documents.sum_nats_D for documents in values], axis=0))
        return {**values[0], "value": float(np.mean([row["value"] for row in values]))}

    return runs[0] if len(runs) == 1 else {name: mean([run[name] for run in runs]) for name in sets}


def outcome(name: str, seeds_S: tuple[int, ...], runs_S: Sequence[Measured], sets: Sequence[str]) -> Outcome:
    """Return one arm over these evaluation sets: all their documents together, or the mean of the metric."""
    values = [[run[dataset] for dataset in sets] for run in runs_S]
    if isinstance(values[0][0], Documents):
        ids_D, num_tokens_D = (np.concatenate(columns) for columns in list(zip(*values[0], strict=True))[:2])
        sum_nats_SD = np.stack([np.concatenate([documents.sum_nats_D for documents in run]) for run in values])
        return LossArm(name, seeds_S, ids_D, sum_nats_SD, num_tokens_D)
    values_S = np.array([np.mean([row["value"] for row in run]) for run in values])
    return MetricArm(name, seeds_S, values_S, values[0][0]["better"], values[0][0]["unit"])


def at_seeds(outcome: Outcome, seeds_S: tuple[int, ...]) -> Outcome:
    """Return the outcome of these seeds only."""
    rows = [outcome.seeds_S.index(seed) for seed in seeds_S]
    if isinstance(outcome, LossArm):
        return replace(outcome, seeds_S=seeds_S, sum_nats_SD=outcome.sum_nats_SD[rows])
    return replace(outcome, seeds_S=seeds_S, values_S=outcome.values_S[rows])


def common_seeds(outcomes: Sequence[Outcome]) -> tuple[int, ...] | None:
    """Return the seeds that all have; None where these are too few for an error."""
    seeds_S = tuple(sorted(set.intersection(*(set(outcome.seeds_S) for outcome in outcomes))))
    return seeds_S if len(seeds_S) >= (1 if isinstance(outcomes[0], LossArm) else 2) else None


def compare_paired(first: Outcome, second: Outcome, alpha: float) -> Comparison | None:
    """Return `first` against `second` over their common seeds; None where these are too few to say anything."""
    seeds_S = common_seeds([first, second])
    return None if seeds_S is None else compare(at_seeds(first, seeds_S), at_seeds(second, seeds_S), alpha)


def blend(first: Outcome, second: Outcome, share: float) -> Outcome | None:
    """Return (1 - share) first + share second, seed by seed and document by document; None as for `compare_paired`.

    What an arm between the two would reach if the outcome were linear between them.
    """
    seeds_S = common_seeds([first, second])
    if seeds_S is None:
        return None
    first, second = at_seeds(first, seeds_S), at_seeds(second, seeds_S)
    name = f"{first.name} at equal cost"
    if isinstance(first, LossArm) and isinstance(second, LossArm):
        return replace(first, name=name, sum_nats_SD=(1 - share) * first.sum_nats_SD + share * second.sum_nats_SD)
    assert isinstance(first, MetricArm) and isinstance(second, MetricArm)  # noqa: PT018 - one study, one metric
    return replace(first, name=name, values_S=(1 - share) * first.values_S + share * second.values_S)
