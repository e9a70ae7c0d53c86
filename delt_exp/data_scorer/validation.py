"""How well a data scorer predicts annotations of documents it did not learn from. D documents."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Z_95 = 1.959964  # standard normal, two-sided 95 %


@dataclass(frozen=True)
class Validation:
    """Predictions against annotations of `documents` documents.

    how: `held out` (one scorer, documents it did not learn from) or `out of fold` (each by a scorer that did not learn
    from its fold). spearman, low, high: rank correlation and its 95 % interval; spearman is None, and nothing known,
    where the predictions have no order. pearson: linear correlation. spread_ratio: standard deviation of the
    predictions over that of the annotations. learnt: whether the interval lies above 0.
    """

    how: str
    documents: int
    spearman: float | None
    low: float
    high: float
    pearson: float | None
    spread_ratio: float
    learnt: bool


def validate(annotated_D: NDArray[np.float64], predicted_D: NDArray[Any], how: str) -> Validation:
    """Compare predictions with annotations.

    Two documents out of fold are in each other's training set. So each pair counts twice, and the correlation varies
    like that of half as many held-out documents: exactly so where there is no relation, less where there is one.
    Simulated coverage is in the tests.
    """
    found, num_documents = spearman(annotated_D, predicted_D), len(annotated_D)
    independent = num_documents if how == "held out" else num_documents / 2
    low, high = (-1.0, 1.0) if found is None else interval(found, independent)
    spread_ratio = float(np.std(predicted_D, dtype=np.float64) / np.std(annotated_D))
    return Validation(
        how, num_documents, found, low, high, pearson(annotated_D, predicted_D), spread_ratio, learnt=low > 0
    )


def interval(spearman: float, independent: float) -> tuple[float, float]:
    """Return the 95 % interval of a rank correlation of `independent` documents (Bonett and Wright 2000, eq. 3).

    Fisher's z with the variance (1 + r^2 / 2) / (n - 3). A perfect correlation, whose z is infinite, counts as half the
    smallest step below 1; three documents or fewer say nothing.
    """
    if independent <= 3:
        return -1.0, 1.0
    largest = 1 - 6 / (independent * (independent**2 - 1))
    bounded = min(max(spearman, -largest), largest)
    half = Z_95 * np.sqrt((1 + bounded**2 / 2) / (independent - 3))
    return float(np.tanh(np.arctanh(bounded) - half)), float(np.tanh(np.arctanh(bounded) + half))


def doubt(validation: Mapping[str, Any]) -> str | None:
    """Return what to say of a data scorer that has not been shown to predict, given as in `fit.json`; else None."""
    if validation["learnt"]:
        return None
    return (
        f"The data scorer has not been shown to predict the annotations ({in_words(validation)}): selection and order "
        "by its scores may be no better than random. Annotate more documents or use another proxy."
    )


def in_words(validation: Mapping[str, Any]) -> str:
    """Return correlation, interval and documents in one phrase, given as in `fit.json`."""
    where = f"{validation['documents']} documents {validation['how']}"
    if validation["spearman"] is None:
        return f"the same prediction for all {where}"
    return f"Spearman {validation['spearman']:.2f} [{validation['low']:.2f}, {validation['high']:.2f}] on {where}"


def spearman(a: ArrayLike, b: ArrayLike) -> float | None:
    """Return Spearman's rank correlation in [-1, 1], ties sharing their mean rank; None where one side has no order."""
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic) if _has_order(a) and _has_order(b) else None


def pearson(a: ArrayLike, b: ArrayLike) -> float | None:
    """Return the linear correlation in [-1, 1]; None where one side is constant or not finite."""
    from scipy.stats import pearsonr

    return float(pearsonr(a, b).statistic) if _has_order(a) and _has_order(b) else None


def _has_order(values: ArrayLike) -> bool:
    """Whether the values are finite and not all equal."""
    array = np.asarray(values)
    return bool(np.isfinite(array).all() and (array != array[0]).any())
