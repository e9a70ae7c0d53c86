"""Did it help? The differences between a run and its baseline, evaluation set by evaluation set.

Shape suffix: D documents.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import DataError
from delt_exp.eval_dataset.base import Evaluation, Measure
from delt_exp.quantity import Direction
from delt_exp.statistics.families import holm_p
from delt_exp.statistics.paired import LossArm

ALPHA = 0.05
VERSION = 1  # of the numbers; a change makes stored answers new


@dataclass(frozen=True)
class Answer:
    """What an evaluation set says of the run against its baseline.

    difference: run minus baseline, with its 95 % interval, low and high, None where nothing tells the noise. verdict:
    better, worse or not distinguishable, said of the run, corrected after Holm for the sets that were asked. paired:
    whether the interval is over documents that both were measured on; without the loss of each, it is that of two
    independent measurements, which is wider. count: documents or questions.
    """

    dataset: str
    metric: str
    unit: str
    better: Direction
    run: float
    baseline: float
    difference: float
    low: float | None
    high: float | None
    p: float | None
    verdict: str
    paired: bool
    count: int


def answers(run: Mapping[str, Evaluation], baseline: Mapping[str, Evaluation]) -> list[Answer]:
    """Return an answer for every evaluation set that both were measured on; of a benchmark, one for each task."""
    found = [answer for name in run for answer in _answers(run[name], baseline[name])]
    return _corrected(found)


def _answers(run: Evaluation, baseline: Evaluation) -> list[Answer]:
    others = {(one.dataset, one.metric): one for one in baseline.measures}
    first = {one.dataset: one for one in reversed(run.measures) if one.better != "neither"}
    pairs = [(one, others[one.dataset, one.metric]) for one in reversed(first.values())]
    if run.documents is None or baseline.documents is None:
        return [_unpaired(*pair) for pair in pairs]
    return [_paired(*pair, run.documents, baseline.documents) for pair in pairs]


def _paired(run: Measure, baseline: Measure, documents: Path, others: Path) -> Answer:
    """Compare the losses of documents; where these are too few for an error, without an interval."""
    alone = _without_interval(run, baseline, paired=True)
    try:
        difference = _losses("run", documents).minus(_losses("baseline", others)).estimate
    except DataError:
        return alone
    low, high = difference.interval(ALPHA)
    return replace(alone, difference=difference.value, low=low, high=high, p=difference.p)


def _losses(name: str, documents: Path) -> LossArm:
    import pyarrow.parquet as pq

    table = pq.read_table(documents, columns=["id", "sum_nats", "num_tokens"])
    columns: list[NDArray[Any]] = [table[column].to_numpy() for column in table.column_names]
    ids_D, sum_nats_D, num_tokens_D = columns
    return LossArm(name, (0,), ids_D, sum_nats_D[None], num_tokens_D)


def _unpaired(run: Measure, baseline: Measure) -> Answer:
    """Compare two numbers by their standard errors."""
    from scipy.special import ndtr, ndtri

    alone = _without_interval(run, baseline, paired=False)
    if run.stderr is None or baseline.stderr is None:
        return alone
    stderr = math.hypot(run.stderr, baseline.stderr)
    if stderr == 0:
        return alone
    half_width = float(-ndtri(ALPHA / 2)) * stderr
    p = float(2 * ndtr(-abs(alone.difference) / stderr))
    return replace(alone, low=alone.difference - half_width, high=alone.difference + half_width, p=p)


def _without_interval(run: Measure, baseline: Measure, *, paired: bool) -> Answer:
    assert run.better != "neither"
    return Answer(
        run.dataset, run.metric, run.unit, run.better, run.value, baseline.value, run.value - baseline.value,
        None, None, None, "not distinguishable", paired, run.count,
    )  # fmt: skip


def _corrected(found: list[Answer]) -> list[Answer]:
    """Return the answers with their verdicts: all that have an interval are one family."""
    tested = [one.p for one in found if one.p is not None]
    adjusted = iter(holm_p(np.array(tested)).tolist())
    return [one if one.p is None else replace(one, verdict=_verdict(one, next(adjusted))) for one in found]


def _verdict(answer: Answer, p: float) -> str:
    if p >= ALPHA:
        return "not distinguishable"
    return "better" if (answer.difference > 0) == (answer.better == "higher") else "worse"
