"""Annotated documents made ready to be learnt: checked and standardised, and drawn for validation. D documents."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.tokens import Tokens
from delt_exp.errors import ConfigError, DataError
from delt_exp.rows.draws import uniform_per_id
from delt_exp.rows.ranking import floor_share

MIN_ANNOTATED, MIN_HELD_OUT = 10, 2  # fewer have no rank correlation worth the name


@dataclass(frozen=True, eq=False)
class Annotated:
    """Documents with their labels, as annotated and standardised, all [D].

    mean, std: of the labels, which standardised them. num_clipped: how many of the standardised are clipped.
    """

    tokens: Tokens
    rows: NDArray[np.intp]
    labels: NDArray[np.float64]
    standardised: NDArray[np.float32]
    mean: float
    std: float
    num_clipped: int


def prepare(tokens: Tokens, rows: NDArray[Any], labels: NDArray[Any], clip_sigma: float) -> Annotated:
    """Return the documents `rows` of `tokens` with their labels, ready to be learnt.

    Raises ConfigError for too few documents, DataError for rows and labels that do not fit or cannot be learnt.
    """
    rows_fit = rows.ndim == 1 and rows.dtype.kind in "iu" and rows.shape == labels.shape
    if not rows_fit or not np.all((rows >= 0) & (rows < len(tokens))):
        raise DataError(
            f"rows {rows.dtype}{list(rows.shape)} and labels {list(labels.shape)} do not fit a corpus of {len(tokens)} "
            f"documents; give whole numbers in 0 .. {len(tokens) - 1} and one label for each"
        )
    check_count(len(rows))
    labels = labels.astype(np.float64)
    standardised, mean, std = standardise(labels, clip_sigma)
    num_clipped = int((np.abs(labels - mean) > clip_sigma * std).sum())
    return Annotated(tokens, rows, labels, standardised, mean, std, num_clipped)


def check_count(count: int) -> None:
    """Raise ConfigError for too few annotated documents."""
    if count < MIN_ANNOTATED:
        raise ConfigError(
            f"{count} documents are annotated, a data scorer needs at least {MIN_ANNOTATED}; annotate more, or "
            "the whole corpus by scorer.num_annotated=null scorer.data_scorer=null"
        )


def check_parts(count: int, choice_ratio: float, validation_ratio: float) -> None:
    """Raise ConfigError where `split` would leave too few documents to judge by, or none to learn from."""
    held_out = {"choice": floor_share(choice_ratio, count), "validation": floor_share(validation_ratio, count)}
    if sum(held_out.values()) >= count:
        raise ConfigError(
            f"data_scorer.validation_ratio={validation_ratio} and data_scorer.choice_ratio={choice_ratio} leave none "
            f"of {count} annotated documents to learn from: lower them"
        )
    for name, size in held_out.items():
        if size < MIN_HELD_OUT:
            raise ConfigError(
                f"data_scorer.{name}_ratio holds out {size} of {count} annotated documents; at least {MIN_HELD_OUT} "
                "are needed: raise the ratio or annotate more"
            )


def check_folds(folds: int, count: int) -> None:
    """Raise ConfigError for more folds than different documents."""
    if folds > count:
        raise ConfigError(
            f"data_scorer.folds={folds} is more than the {count} different annotated documents; use fewer folds"
        )


def standardise(labels: NDArray[np.float64], clip_sigma: float) -> tuple[NDArray[np.float32], float, float]:
    """Return (label - mean) / std with the population std, clipped to +-clip_sigma; and mean and std.

    Raises DataError for labels that are not finite or all equal.
    """
    bad = np.flatnonzero(~np.isfinite(labels))
    if len(bad):
        raise DataError(f"label {bad[0]} is {labels[bad[0]]}; annotated scores must be finite: repair the annotator")
    mean, std = float(labels.mean()), float(labels.std())
    if labels.min() == labels.max() or not 0 < std < np.inf:
        raise DataError(
            f"the {len(labels)} labels lie in {labels.min()} .. {labels.max()} and have the standard deviation {std}; "
            "a data scorer can only learn scores that differ: check the annotator's settings"
        )
    return np.clip((labels - mean) / std, -clip_sigma, clip_sigma).astype(np.float32), mean, std


def split(
    ids: NDArray[np.uint64], labels: NDArray[np.float64], choice_ratio: float, validation_ratio: float, seed: int
) -> NDArray[np.str_]:
    """Return [D] whether a document is for `train`, for the `choice` of the epoch or for `validation`.

    floor(ratio * D) random documents each, equal texts always in one part. Raises ConfigError for a part that is too
    small, DataError where all labels of a part that judges are equal.
    """
    check_parts(len(ids), choice_ratio, validation_ratio)
    unique, inverse = np.unique(ids, return_inverse=True)
    draws = uniform_per_id(unique, seed, "validation of the data scorer")[inverse]
    count, ordered = len(ids), np.sort(draws)
    parts = np.full(count, "train", dtype="<U10")
    ends = floor_share(validation_ratio, count), floor_share(validation_ratio, count) + floor_share(choice_ratio, count)
    for end, name in ((ends[1], "choice"), (ends[0], "validation")):
        if end:
            parts[draws <= ordered[min(end, count) - 1]] = name
    if not (parts == "train").any():  # where equal texts are many
        raise ConfigError(
            f"of {count} annotated documents, too many are equal to leave one to learn from; annotate more, or lower "
            f"data_scorer.validation_ratio={validation_ratio} and data_scorer.choice_ratio={choice_ratio}"
        )
    for name in ("choice", "validation"):
        _check_part(labels[parts == name], name)
    return parts


def _check_part(labels: NDArray[np.float64], name: str) -> None:
    if len(np.unique(labels)) == 1:
        raise DataError(
            f"all {len(labels)} {name} documents have the same label, so a good data scorer cannot be told from a bad "
            "one; annotate more documents or use another data_scorer.seed"
        )


def folds_of(ids: NDArray[np.uint64], count: int, seed: int) -> NDArray[np.intp]:
    """Return [D] the random fold of each document, in 0 .. count - 1: of equal size up to one text.

    Equal texts share a fold. Raises ConfigError for more folds than different texts.
    """
    unique, inverse = np.unique(ids, return_inverse=True)
    check_folds(count, len(unique))
    drawn = np.argsort(uniform_per_id(unique, seed, "folds of the data scorer"), kind="stable")
    fold = np.empty(len(unique), np.intp)
    fold[drawn] = np.arange(len(unique)) % count
    return fold[inverse]
