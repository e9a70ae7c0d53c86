"""Alignment of one run with what it is evaluated on: of all its candidates, and of the documents it trains on."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.alignment.base import Alignment, Text
from delt_exp.alignment.table import coefficients
from delt_exp.corpus.corpus import Corpus
from delt_exp.resources import Resources

BEFORE, TRAINED = "before", "trained"


def run_alignment(
    metrics: Mapping[str, Alignment],
    candidates: Corpus,
    trained_rows: NDArray[np.intp],
    evaluation: Mapping[str, Corpus],
    resources: Resources,
) -> list[dict[str, Any]]:
    """Return one row for every metric and evaluation dataset, with the table rows `before` selection and `trained`.

    A document counts once, however often training repeats it. Raises ConfigError or DataError for a text that cannot be
    described, naming it.
    """
    sides = {BEFORE: Text(candidates), TRAINED: Text(candidates, trained_rows)}
    against = {name: Text(corpus) for name, corpus in evaluation.items()}
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for name, metric in metrics.items():
        for found in coefficients(metric, sides, against, resources):
            row = rows.setdefault(
                (name, found.evaluation),
                {
                    "metric": name,
                    "evaluation": found.evaluation,
                    "unit": metric.meaning.unit,
                    "name": metric.meaning.name,
                },
            )
            row[found.train] = asdict(found)
    return list(rows.values())
