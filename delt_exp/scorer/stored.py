"""Scores that were computed elsewhere: by `python -m delt_exp.features score`, by another run, or by a program."""

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import settings
from delt_exp.corpus.values_file import read_columns, said_meaning
from delt_exp.errors import ConfigError, DataError
from delt_exp.files import file_sha256
from delt_exp.quantity import Direction, Meaning
from delt_exp.scorer.base import Pool
from delt_exp.scorer.file_rows import rows_in_file


@settings
class StoredScorer:
    """Scores of the documents in a file: Parquet, CSV (`.csv`, `.tsv`), or else JSON Lines, which may be compressed.

    by: `id`: the column `id` holds the 64-bit content hash of each document, as a number or as 16 hexadecimal digits;
    other documents may be in the file, and of several numbers for one id the first counts. `row`: the column `row`
    holds the row among the candidates, from 0; without that column the scores are in their order. There must be one for
    each candidate. key: another column with the ids or rows. column: where the scores are, `scores[clean][score]` for
    numbers inside objects. better: which are better; null for a file that says so itself, as those of `ScoreTable.save`
    do, such as a run's `scores.parquet`.

    Raises DataError for a file or a column that is not there, a candidate without a number, and a number that is not
    finite; ConfigError where nothing says which direction is better.
    """

    VERSION: ClassVar[int] = 2
    PLACES: ClassVar[frozenset[str]] = frozenset({"path"})
    needs: ClassVar[frozenset[str]] = frozenset()
    path: str
    by: Literal["id", "row"]
    key: str | None
    column: str
    better: Direction | None

    @property
    def meaning(self) -> Meaning:
        known = said_meaning(self._file) if self.column == "score" else None
        if known is not None and self.better in (None, known.better):
            return known
        if self.better is None:
            raise ConfigError(
                f"{self.path} does not say which of its numbers are better; give scorer.better=higher or lower"
            )
        explanation = f"What the column {self.column} of a file says of the document."
        return Meaning(self.column, "as in the file", self.better, explanation)

    def fingerprint(self) -> str:
        """Return a hash of the file; raises DataError where there is none, ConfigError where its direction is open."""
        self._check()
        return file_sha256(self._file)

    def check_files(self) -> None:
        _ = self._columns

    def score(self, pool: Pool) -> NDArray[np.float32]:
        """Return scores [R]; raises DataError for a candidate without one."""
        keys, scores = self._columns
        scores = scores[rows_in_file(self.path, self.by, keys, len(scores), pool, "score")]
        bad = np.flatnonzero(~np.isfinite(scores))
        if len(bad):
            raise DataError(
                f"{self.path}: {self.column} is missing or not finite for {len(bad)} of {len(scores)} documents, the "
                f"first in row {pool.rows[bad[0]]} (id {int(pool.ids[bad[0]]):016x}); give every document a number"
            )
        return np.asarray(scores, np.float32)

    @property
    def _file(self) -> Path:
        return Path(self.path)

    def _check(self) -> None:
        wrong = "it is a folder" if self._file.is_dir() else "there is no such file"
        if self._file.is_file():
            wrong = "" if self._file.stat().st_size else "the file is empty (0 bytes)"
        if wrong:
            raise DataError(f"scorer.path={self.path}: {wrong}; give a score table, such as RUN/scores.parquet")
        _ = self.meaning

    @cached_property
    def _columns(self) -> tuple[Any, Any]:
        self._check()
        keys, scores = read_columns(self._file, self.by, self.column, self.key)
        if self.by == "id" and keys is not None and len(keys) and np.array_equal(np.sort(keys), np.arange(len(keys))):
            raise DataError(
                f"{self.path}: its ids are the numbers 0 to {len(keys) - 1} and no hashes of documents; to take them "
                f"for rows, use scorer.by=row scorer.key={self.key or 'id'}"
            )
        return keys, scores
