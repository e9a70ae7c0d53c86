"""Annotated documents made ready to be learnt: checked, standardised and split. D documents."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.draws import uniform_per_id
from delt_exp.errors import ConfigError, DataError
from delt_exp.ranking import floor_share
from delt_exp.tokens import Tokens

MIN_ANNOTATED, MIN_VALIDATION = 10, 2  # fewer have no rank correlation worth the name


@dataclass(frozen=True, eq=False)
class Annotated:
    """Documents with their labels as annotated, standardised targets, and which of them are for validation; all [D].

    mean, std: of the labels, which standardised them. num_clipped: how many targets are clipped.
    """

    tokens: Tokens
    rows: NDArray[np.intp]
    labels: NDArray[np.float64]
    targets: NDArray[np.float32]
    is_validation: NDArray[np.bool_]
    mean: float
    std: float
    num_clipped: int


def prepare(
    tokens: Tokens, rows: NDArray[Any], labels: NDArray[Any], clip_sigma: float, validation_ratio: float, seed: int
) -> Annotated:
    """Return the documents `rows` of `tokens` with their labels, ready to be learnt.

    Raises ConfigError for too few documents, DataError for rows and labels that do not fit or cannot be learnt.
    """
    rows_fit = rows.ndim == 1 and rows.dtype.kind in "iu" and rows.shape == labels.shape
    if not rows_fit or not np.all((rows >= 0) & (rows < len(tokens))):
        raise DataError(
            f"rows {rows.dtype}{list(rows.shape)} and labels {list(labels.shape)} do not fit a corpus of {len(tokens)} "
            f"documents; give whole numbers in 0 .. {len(tokens) - 1} and one label for each"
        )
    if len(rows) < MIN_ANNOTATED:
        raise ConfigError(
            f"{len(rows)} documents are annotated, a data scorer needs at least {MIN_ANNOTATED}; annotate more, or "
            "use data_scorer=none to annotate the whole corpus"
        )
    labels = labels.astype(np.float64)
    targets, mean, std = standardise(labels, clip_sigma)
    num_clipped = int((np.abs(labels - mean) > clip_sigma * std).sum())
    is_validation = split(tokens.ids[rows], validation_ratio, seed)
    num_validation = int(is_validation.sum())
    if num_validation < MIN_VALIDATION or num_validation == len(rows):
        raise ConfigError(
            f"data_scorer.validation_ratio={validation_ratio} holds out {num_validation} of {len(rows)} "
            f"annotated documents; at least {MIN_VALIDATION} are needed and some must be left to learn from: "
            "change the ratio or annotate more"
        )
    if len(np.unique(labels[is_validation])) == 1:
        raise DataError(
            f"all {num_validation} validation documents have the same label, so that nothing tells a good data "
            "scorer; annotate more documents or use another data_scorer.seed"
        )
    return Annotated(tokens, rows, labels, targets, is_validation, mean, std, num_clipped)


def standardise(labels: NDArray[np.float64], clip_sigma: float) -> tuple[NDArray[np.float32], float, float]:
    """Return (label - mean) / std with the population std, clipped to +-clip_sigma; and mean and std.

    Raises DataError for labels that are not finite or all equal.
    """
    bad = np.flatnonzero(~np.isfinite(labels))
    if len(bad):
        raise DataError(f"label {bad[0]} is {labels[bad[0]]}; annotated scores must be finite: mend the annotator")
    mean, std = float(labels.mean()), float(labels.std())
    if labels.min() == labels.max() or not 0 < std < np.inf:
        raise DataError(
            f"the {len(labels)} labels lie in {labels.min()} .. {labels.max()} and have the standard deviation {std}; "
            "a data scorer can only learn scores that differ: check the annotator's settings"
        )
    return np.clip((labels - mean) / std, -clip_sigma, clip_sigma).astype(np.float32), mean, std


def split(ids: NDArray[np.uint64], validation_ratio: float, seed: int) -> NDArray[np.bool_]:
    """Return [D] which documents are for validation: floor(ratio * D) random ones, equal texts always on one side."""
    unique, inverse = np.unique(ids, return_inverse=True)
    draws = uniform_per_id(unique, seed, "validation of the data scorer")[inverse]
    count = floor_share(validation_ratio, len(ids))
    return draws <= np.sort(draws)[count - 1] if count else np.zeros(len(ids), np.bool_)
