"""Mixtures and the losses of the models trained on them, from the runs of a study or from two CSV files.

Shapes: R runs, G sources, S evaluation sets.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import ConfigError, DataError
from delt_exp.statistics.mixing_law import SUM_TOLERANCE, MixingLaw, check_runs, fit_law

Floats = NDArray[np.float64]
DIMENSION, DRAWN = "mixture", "dirichlet"  # the runs of a study that a law is fitted to, by their arm


class TrainedRun(Protocol):
    """A run of a study; `record` is None while it is not finished."""

    @property
    def folder(self) -> str: ...

    def record(self) -> dict[str, Any] | None: ...


@dataclass(frozen=True, eq=False)
class MixtureRuns:
    """Shares of sources and losses on evaluation sets of R trained models. Raises DataError for what fits no law."""

    sources: Sequence[str]
    sets: Sequence[str]
    shares_RG: Floats
    losses_RS: Floats

    def __post_init__(self) -> None:
        check_runs(self.shares_RG, self.losses_RS, self.sources)

    def laws(self) -> list[MixingLaw]:
        """Return the law of each evaluation set."""
        return [fit_law(self.shares_RG, losses_R) for losses_R in self.losses_RS.T]

    def in_order(self, shares: Mapping[str, float]) -> Floats:
        """Return [G] shares by name in the order of the sources."""
        return np.array([shares[name] for name in self.sources], np.float64)

    def weights(self, objective: Mapping[str, float], key: str) -> Floats:
        """Return [S] weights that sum to 1; raises ConfigError for a set that is none, and for weights that are all 0.

        key: where the objective is set.
        """
        unknown = [name for name in objective if name not in self.sets]
        if unknown or sum(objective.values()) <= 0:
            what = f"names {unknown[0]!r}, which is not an evaluation set" if unknown else "has no weight above 0"
            raise ConfigError(f"{key} {what}; give each of some sets a weight: {', '.join(self.sets)}")
        weights_S = np.array([objective.get(name, 0.0) for name in self.sets], np.float64)
        return np.asarray(weights_S / weights_S.sum())


def is_drawn(arm: Mapping[str, str]) -> bool:
    """Return whether a run of this arm is one on a drawn mixture."""
    return arm.get(DIMENSION) == DRAWN


def runs_of(runs: Sequence[TrainedRun], sets: Sequence[str]) -> MixtureRuns:
    """Return the shares that finished runs were trained on and their losses on `sets`; raises DataError for others."""
    shares: list[list[float]] = []
    sources: list[str] = []
    for run in runs:
        mixture = shares_trained(run)
        if sources and list(mixture) != sources:
            raise DataError(f"{run.folder} mixes {', '.join(mixture)}, other runs {', '.join(sources)}; mix the same")
        sources, shares = list(mixture), [*shares, list(mixture.values())]
    losses = [[losses_by_set(run, sets)[name] for name in sets] for run in runs]
    num_sources = len(sources)
    return MixtureRuns(sources, sets, np.reshape(shares, (len(runs), num_sources)), np.reshape(losses, (-1, len(sets))))


def shares_trained(run: TrainedRun) -> dict[str, float]:
    """Return the shares of tokens that a finished run was trained on; raises DataError for a run without a mixture."""
    return {row["source"]: row["trained"] for row in mixture_rows(run)}


def mixture_rows(run: TrainedRun) -> list[dict[str, Any]]:
    """Return what the record of a run says of each source; raises DataError for a run without a mixture."""
    rows: list[dict[str, Any]] | None = (run.record() or {}).get("mixture")
    if rows is None:
        raise DataError(f"{run.folder} was trained without a mixture; choose one, mixture=natural for example")
    return rows


def losses_by_set(run: TrainedRun, sets: Sequence[str]) -> dict[str, float]:
    """Return the loss of a finished run on each of `sets`; raises DataError where one is missing."""
    results = (run.record() or {})["results"]
    losses = {row["dataset"]: row["value"] for row in results if row["metric"] == "loss"}
    missing = [name for name in sets if name not in losses]
    if missing:
        raise DataError(
            f"{run.folder} has no loss on {missing[0]!r}; it has {', '.join(losses) or 'none'}: add an eval_dataset"
        )
    return {name: losses[name] for name in sets}


def read_runs(mixtures: Path, losses: Path) -> MixtureRuns:
    """Return the runs of two CSV files whose first column names the run; others are sources, and evaluation sets.

    What all names of a table have in common before a first and after a last `_`, `/` or `-` is left out. Raises
    DataError for files that cannot be read so.
    """
    sources, shares = _read_table(mixtures)
    sets, values = _read_table(losses)
    if missing := sorted(set(shares) ^ set(values)):
        where = losses if missing[0] in shares else mixtures
        raise DataError(f"run {missing[0]!r} is not in {where}; both tables need the same runs in their first column")
    runs = list(shares)
    for run, row in shares.items():
        if min(row) < 0 or abs(sum(row) - 1) > SUM_TOLERANCE:
            raise DataError(
                f"{mixtures}: run {run!r} has shares from {min(row):g} that sum to {sum(row):g}; give shares of at "
                "least 0 that sum to 1, and the table of mixtures before that of losses"
            )
    return MixtureRuns(sources, sets, np.array([shares[run] for run in runs]), np.array([values[run] for run in runs]))


def _read_table(path: Path) -> tuple[list[str], dict[str, list[float]]]:
    """Return the shortened names of the columns after the first, and the numbers of each run."""
    wrong = "is a folder" if path.is_dir() else "" if path.exists() else "does not exist"
    if wrong or not path.stat().st_size:
        raise DataError(f"{path} {wrong or 'is empty'}; give a CSV table with one row per run")
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, ValueError, csv.Error) as error:
        raise DataError(
            f"{path} is not a CSV table with a header ({error}); give a file with one row per run"
        ) from None
    found: dict[str, list[float]] = {}
    for number, row in enumerate(rows, 2):
        try:
            values = [float(text) for text in row[1:]]
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}; every column after the first must be a number") from None
        if not np.isfinite(values).all():
            raise DataError(f"{path}, line {number}: run {row[0]!r} has a number that is not finite; repeat the run")
        if len(row) != len(header) or row[0] in found:
            wrong = f"names run {row[0]!r} again" if row and row[0] in found else f"has {len(row)} columns"
            raise DataError(f"{path}, line {number} {wrong}; give each run one row with {len(header)} columns")
        found[row[0]] = values
    if len(header) < 2 or len(set(header)) < len(header) or not found:
        raise DataError(f"{path} needs a column for the run, others with different names, and a row for each run")
    return _shortened(header[1:]), found


def _shortened(names: Sequence[str]) -> list[str]:
    """Return names without what all begin and end with, up to a `_`, `/` or `-`."""
    starts = [re.findall(r"[^_/-]*[_/-]", name) for name in names]
    ends = [re.findall(r"[_/-][^_/-]*", name)[::-1] for name in names]
    first, last = (sum(map(len, _common(pieces))) if len(names) > 1 else 0 for pieces in (starts, ends))
    return [name[first : len(name) - last] for name in names]


def _common(pieces: Sequence[Sequence[str]]) -> list[str]:
    """Return the first pieces that are the same in all sequences."""
    alike = (set(column) for column in zip(*pieces, strict=False))
    return [column.pop() for column in takewhile(lambda column: len(column) == 1, alike)]
