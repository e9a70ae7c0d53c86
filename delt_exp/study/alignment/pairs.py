"""The pairs that an alignment study compares: a training corpus and an evaluation set, with coefficient and loss."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from delt_exp.errors import ConfigError, DataError
from delt_exp.progress import say
from delt_exp.report.findings import Table
from delt_exp.study.record import StudyRecord

Key = tuple[tuple[tuple[str, str], ...], str]
"""What a study varies, by its labels, and the evaluation set."""


@dataclass(frozen=True)
class Pair:
    """One run on one evaluation set. alignment: coefficient by metric; seconds: what measuring it took, by metric.

    seconds: describing the training corpus, and comparing it with the evaluation set. cell: what else the study varies,
    such as the size of the model; empty for nothing.
    """

    train: str
    evaluation: str
    seed: int
    tokens: int
    loss: float
    alignment: Mapping[str, float]
    seconds: Mapping[str, tuple[float, float]]
    cell: str = ""


def pairs_of(study: StudyRecord, corpus: str, dimensions: Sequence[str] = ()) -> list[Pair]:
    """Return every finished run with every evaluation set that has a loss and an alignment, at seeds that are whole.

    dimensions: whose labels make the cell. See `_of_whole_seeds` for a study that is not finished. Raises ConfigError
    where the study does not vary one of them, DataError where there is no pair.
    """
    pairs: list[tuple[Key, Pair]] = []
    for run in study.finished():
        unknown = [name for name in (corpus, *dimensions) if name not in run.arm]
        if unknown:
            raise ConfigError(f"study.report: {unknown[0]} is not varied in every slice; varied: {', '.join(run.arm)}")
        cell = " · ".join(run.arm[name] for name in dimensions)
        record = run.record()
        assert record is not None
        losses = {row["dataset"]: row["value"] for row in record["results"] if row["metric"] == "loss"}
        for name, loss in losses.items():
            rows = [row for row in record["alignment"] or [] if row["evaluation"] == name]
            alignment = {row["metric"]: row["trained"]["value"] for row in rows}
            seconds = {row["metric"]: _measuring(row["trained"]) for row in rows}
            if alignment:
                tokens = record["training"]["tokens"]
                pair = Pair(run.arm[corpus], name, run.seed, tokens, loss, alignment, seconds, cell)
                pairs.append(((tuple(run.arm.items()), name), pair))
    if not pairs:
        raise DataError(f"{study.folder}: no finished run has both a loss and an alignment; choose alignment=...")
    return _of_whole_seeds(pairs)


def _of_whole_seeds(pairs: Sequence[tuple[Key, Pair]]) -> list[Pair]:
    """Return the pairs that the seed with most of them has, at each seed that has them all.

    Means over other seeds would not compare. Runs come seed after seed, so that little waits.
    """
    by_seed: dict[int, set[Key]] = {}
    for key, pair in pairs:
        by_seed.setdefault(pair.seed, set()).add(key)
    most = max(by_seed.values(), key=len)
    whole = {seed for seed, keys in by_seed.items() if most <= keys}
    found = [pair for key, pair in pairs if pair.seed in whole and key in most]
    if len(found) < len(pairs):
        say(f"{len(pairs) - len(found)} of {len(pairs)} pairs wait until their seed is finished for all corpora")
    return found


def is_diagonal(pair: Pair) -> bool:
    """Whether the evaluation set is of a domain that was trained on."""
    return pair.evaluation in pair.train.split(" + ")


def _measuring(found: Mapping[str, float]) -> tuple[float, float]:
    return found["train_seconds"], found["pair_seconds"]


def points_table(pairs: Sequence[Pair], metrics: Sequence[str]) -> Table:
    """Return every model and evaluation set with its loss and its alignments."""
    in_cells = any(p.cell for p in pairs)
    rows: list[list[Any]] = [
        [p.train, p.evaluation, *([p.cell] if in_cells else []), p.seed, p.tokens, p.loss,
         *(p.alignment.get(metric) for metric in metrics)]
        for p in pairs
    ]  # fmt: skip
    columns = ["trained on", "evaluation set", *(["cell"] if in_cells else [])]
    columns += ["seed", "tokens", "loss [nats/token]", *metrics]
    return Table("points", "Every point", "One row per model and evaluation set.", columns, rows, folded=True)
