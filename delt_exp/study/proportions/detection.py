"""One run on a known mixture: the shares it was trained on, and what each estimate makes of its texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from delt_exp.errors import ConfigError, DataError
from delt_exp.eval_dataset.proportions import ESTIMATES
from delt_exp.proportions.shares import total_variation
from delt_exp.quantity import Ranged
from delt_exp.study.record import PlannedRun

WORDS = {
    "soft": "corrected, from posteriors",
    "hard": "corrected, from labels",
    "raw": "uncorrected",
    "first_token": "first token",
}


@dataclass(frozen=True)
class Detection:
    """One run: shares by domain, of what it was trained on and by each estimate, with the detector's interval if any.

    unit: what shares are of, documents or tokens.
    """

    mixture: str
    temperature: str
    seed: int
    truth: Mapping[str, float]
    shares: Mapping[str, Mapping[str, Ranged | float]]
    unit: str

    def off(self, estimate: str) -> float:
        """Return the total variation between an estimate and the truth."""
        values = self._pairs(estimate)
        return total_variation(values[0], values[1])

    def is_ranked(self, estimate: str) -> bool:
        """Return whether an estimate has the domains in their true order; equal true shares may have any."""
        truth, found = self._pairs(estimate)
        gaps = np.subtract.outer(truth, truth) * np.subtract.outer(found, found)
        return bool((gaps[np.subtract.outer(truth, truth) != 0] > 0).all())

    def _pairs(self, estimate: str) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
        return np.array([[share, value_of(self.shares[estimate][label])] for label, share in self.truth.items()]).T

    @property
    def inside(self) -> list[bool]:
        """Return for each domain whether the true share lies in the interval of the corrected estimate."""
        ranged = {label: share for label, share in self.shares["soft"].items() if isinstance(share, Ranged)}
        return [share.low <= self.truth[label] <= share.high for label, share in ranged.items()]


def detection_of(run: PlannedRun, dataset: str, mixture: str, temperature: str) -> Detection:
    """Return what `dataset`, an evaluation of the kind `proportions`, says of a finished run.

    mixture, temperature: dimensions of the study. Raises ConfigError where the run varies none of these, DataError for
    a run without the evaluation or without a mixture.
    """
    unknown = [name for name in (mixture, temperature) if name not in run.arm]
    if unknown:
        raise ConfigError(f"study.report: {unknown[0]} is not varied in every slice: {list(run.arm)}")
    shares: dict[str, dict[str, Ranged | float]] = {estimate: {} for estimate in ESTIMATES}
    unit = ""
    for row in (run.record() or {})["results"]:
        name, _, label = row["dataset"].partition("/")
        if name == dataset and row["metric"].startswith("share_"):
            shares[row["metric"].removeprefix("share_")][label] = _ranged(row, run.folder)
            unit = row["unit"]
    if not unit:
        raise DataError(f"{run.folder} has no shares by {dataset}; choose eval_dataset=proportions")
    in_tokens = unit.endswith("tokens")
    truth = _truth(Path(run.folder), list(shares["soft"]), in_tokens=in_tokens)
    counted = "tokens" if in_tokens else "documents"
    return Detection(run.arm[mixture], run.arm[temperature], run.seed, truth, shares, counted)


def value_of(cell: Ranged | float) -> float:
    """Return a share or an error without its interval."""
    return cell.value if isinstance(cell, Ranged) else cell


def _ranged(row: Mapping[str, Any], folder: str) -> Ranged | float:
    """Return the share of a row with its interval; raises DataError for an estimate that has lost its own."""
    if row["stderr"] is None:
        return float(row["value"])
    if "interval" not in row:
        raise DataError(f"{folder} has no intervals of the shares; delete the folder and repeat the study's command")
    return Ranged(row["value"], *row["interval"])


def _truth(folder: Path, labels: Sequence[str], *, in_tokens: bool) -> dict[str, float]:
    """Return the share of each domain among the candidates of a run, in documents or tokens."""
    table = pq.read_table(folder / "scores.parquet", columns=["source", "tokens"])
    source = np.asarray(table["source"].to_pylist())
    strange = sorted(set(source) ^ set(labels))
    if strange:
        raise DataError(
            f"{folder}: {strange[0]} is not both a part of the mixture and a domain that is looked for; use "
            "train_dataset=mixture with parts of the same labels as the domains of eval_dataset=proportions"
        )
    weights = table["tokens"].to_numpy() if in_tokens else np.ones(len(source))
    return {label: float(weights[source == label].sum() / weights.sum()) for label in labels}
