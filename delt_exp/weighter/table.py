"""A table of weights by document, made elsewhere."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.record_values import Key
from delt_exp.corpus.values_file import column_names, read_columns
from delt_exp.errors import DataError
from delt_exp.rows.lookup import looked_up

Floats = NDArray[np.float64]


def read_weights(path: Path, ids: NDArray[np.uint64]) -> Floats:
    """Return [N] the weight of each document, from the columns `weight` and `id` (or `row`) of a Parquet file.

    id: content hash, as in scores.parquet of a run; row: number of the document in the corpus, from 0. Documents may be
    in any order, and more of them than there are. Raises DataError for a file without these columns, a weight that is
    negative or not finite, and a document that has none or two.
    """
    try:
        key, keys, weights = _columns(path)
    except DataError as error:
        raise DataError(f"weighter.table: {error}") from error
    wanted = ids if key == "id" else np.arange(len(ids))
    _check(path, key, keys, weights)
    _check_once(path, key, keys)
    rows = looked_up(keys, wanted)
    missing = np.flatnonzero(rows < 0)
    if len(missing):
        raise DataError(
            f"weighter.table: {path} has no weight for {len(missing)} of {len(wanted)} documents, the first with "
            f"{key} {_shown(key, wanted[missing[0]])}; add them, with weight 0 for those that should not count"
        )
    return weights[rows]


def _columns(path: Path) -> tuple[Key, NDArray[Any], Floats]:
    """Return by what a file names its documents, their keys and their weights."""
    present = column_names(path)
    key: Key | None = "id" if "id" in present else "row" if "row" in present else None
    if key is None or "weight" not in present:
        raise DataError(
            f"{path} has the columns {', '.join(present) or 'none'}; it needs `weight`, and "
            "`id` (as in scores.parquet of a run) or `row` (number of the document in the corpus, from 0)"
        )
    keys, weights = read_columns(path, key, "weight")
    assert keys is not None  # the file has this column
    return key, keys, weights


def _check(path: Path, key: str, keys: NDArray[Any], weights: Floats) -> None:
    bad = np.flatnonzero(~np.isfinite(weights) | (weights < 0))
    if len(bad):
        raise DataError(
            f"weighter.table: {path} gives {key} {_shown(key, keys[bad[0]])} the weight {weights[bad[0]]}; a weight is "
            "a finite number of at least 0"
        )


def _check_once(path: Path, key: str, keys: NDArray[Any]) -> None:
    known, counts = np.unique(keys, return_counts=True)
    if (counts > 1).any():
        twice = _shown(key, known[counts.argmax()])
        raise DataError(f"weighter.table: {path} has {key} {twice} {counts.max()} times; keep one row per document")


def _shown(key: str, value: Any) -> str:
    return f"{int(value):016x}" if key == "id" else str(value)
