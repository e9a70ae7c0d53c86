"""Which of the values in a file belong to which document. R documents to score."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.record_values import Key
from delt_exp.errors import DataError
from delt_exp.rows.lookup import looked_up
from delt_exp.scorer.base import Pool


def rows_in_file(
    path: str, by: Key, keys: NDArray[Any] | None, num_values: int, pool: Pool, what: str
) -> NDArray[np.intp]:
    """Return [R] which of a file's values is that of each document to score.

    keys: ids or rows of the values, None for the order of the candidates. what: the word for a value in messages.
    Raises DataError for a document without one, and by row for anything but one value for each candidate.
    """
    if by == "row":
        rows = np.arange(num_values) if keys is None else keys
        _check_rows(path, rows, len(pool.candidates), what)
        return np.argsort(rows)[pool.rows]
    assert keys is not None
    cure = "make it for the same documents, cut the same way (corpus.max_document_chars), or leave the others out"
    return rows_of_ids(keys, pool, f"{path} has no {what}", cure)


def rows_of_ids(keys: NDArray[Any], pool: Pool, complaint: str, cure: str) -> NDArray[np.intp]:
    """Return [R] the place of each document to score among ids; raises DataError for documents that are not there.

    complaint: the beginning of its message, such as `scores.csv has no score`. cure: the end.
    """
    found_R = looked_up(keys, pool.ids)
    missing = np.flatnonzero(found_R < 0)
    if len(missing):
        first = missing[0]
        raise DataError(
            f"{complaint} for {len(missing)} of {len(pool.ids)} documents, the first in row {pool.rows[first]} "
            f"(id {int(pool.ids[first]):016x}); {cure}"
        )
    return found_R


def _check_rows(path: str, rows: NDArray[Any], num_candidates: int, what: str) -> None:
    if not np.array_equal(np.sort(rows), np.arange(num_candidates)):
        raise DataError(
            f"{path} has {len(rows)} {what}s for {len(np.unique(rows))} different rows, the largest of them "
            f"{max(rows, default='none')}, but there are {num_candidates} candidates, rows 0 to "
            f"{num_candidates - 1}; read the documents as they were then (corpus.drop_duplicates=false "
            "corpus.max_document_chars=null decontaminate=false), or give ids"
        )
