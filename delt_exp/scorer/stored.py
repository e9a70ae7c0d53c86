"""Scores that were computed elsewhere: by `python -m delt_exp.features score`, by another run, or by a program."""

from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import settings
from delt_exp.errors import DataError
from delt_exp.files import file_sha256
from delt_exp.quantity import Meaning
from delt_exp.rows.lookup import looked_up
from delt_exp.scorer.base import Pool
from delt_exp.scorer.table import ScoreTable


@settings
class StoredScorer:
    """Scores of the documents in a score table, by their ids.

    path: a Parquet file with the columns `id` (the 64-bit content hash) and `score`, and the meaning of the numbers, as
    `ScoreTable.save` writes it: the `scores.parquet` of a run, for example. Documents that are not candidates may be in
    it; a candidate that is not is an error.
    """

    VERSION: ClassVar[int] = 1
    PLACES: ClassVar[frozenset[str]] = frozenset({"path"})
    needs: ClassVar[frozenset[str]] = frozenset()
    path: str

    @property
    def meaning(self) -> Meaning:
        return self._table.meaning

    def fingerprint(self) -> str:
        """Return a hash of the file; raises DataError where there is none."""
        if not Path(self.path).is_file():
            raise DataError(
                f"scorer.path={self.path}: there is no such file; give a score table, such as RUN/scores.parquet"
            )
        return file_sha256(Path(self.path))

    def score(self, pool: Pool) -> NDArray[np.float32]:
        """Return scores [R]; raises DataError for a candidate without one."""
        table, ids = self._table, pool.ids
        rows = looked_up(table.ids, ids)
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            raise DataError(
                f"{self.path} has no score for {len(missing)} of {len(ids)} documents, the first in row "
                f"{pool.rows[missing[0]]} (id {int(ids[missing[0]]):016x}); score the same documents, cut the same way "
                "(corpus.max_document_chars), or leave the others out"
            )
        return np.asarray(table.scores[rows])

    @cached_property
    def _table(self) -> ScoreTable:
        self.fingerprint()  # raises for a file that is not there
        return ScoreTable.load(Path(self.path))
