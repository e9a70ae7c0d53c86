"""Scores on disk and in memory: one number per document, with its meaning, unit and direction."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import DataError
from delt_exp.files import digest, written_aside
from delt_exp.quantity import Meaning


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """The only thing that passes from scoring to selection and ordering; checks itself when made.

    Raises DataError for scores that are not finite or do not fit the ids.
    """

    ids: NDArray[np.uint64]  # [N] content hash; row i is row i of the corpus
    scores: NDArray[np.float32]  # [N] as the scorer defines them
    meaning: Meaning

    def __post_init__(self) -> None:
        if self.ids.shape != self.scores.shape or self.ids.ndim != 1:
            raise DataError(
                f"score table: {self.scores.shape} scores for {self.ids.shape} ids; one number per document"
            )
        bad = np.flatnonzero(~np.isfinite(self.scores))
        if len(bad):
            raise DataError(
                f"{len(bad)} of {len(self.scores)} scores of {self.meaning.name!r} are not finite, the first in row "
                f"{bad[0]} (document {int(self.ids[bad[0]]):016x}): {self.scores[bad[0]]}; the scorer must return a "
                "number for every document"
            )

    @cached_property
    def goodness(self) -> NDArray[np.float32]:
        """[N] scores turned so that higher is better; what selectors and orderers see."""
        return self.scores if self.meaning.better == "higher" else -self.scores

    @property
    def digest(self) -> str:
        """Hash of ids, scores and direction."""
        return digest(self.ids, self.scores, self.meaning.better)

    def save(self, path: Path) -> None:
        """Write one Parquet file: columns `id` and `score`, the meaning in the schema metadata."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table({"id": np.asarray(self.ids), "score": self.scores})
        table = table.replace_schema_metadata({b"delt_exp.meaning": json.dumps(asdict(self.meaning)).encode()})
        with written_aside(path) as aside:
            pq.write_table(table, aside)

    @classmethod
    def load(cls, path: Path) -> "ScoreTable":
        """Read what `save` wrote; raises DataError for anything else."""
        import pyarrow.parquet as pq

        try:
            table = pq.ParquetFile(path).read()  # `pq.read_table` and `to_numpy` import pandas, 0.4 s
        except ValueError as error:
            raise DataError(f"{path} is not a score table: {' '.join(str(error).split())}") from error
        metadata = table.schema.metadata or {}
        if b"delt_exp.meaning" not in metadata:
            raise DataError(f"{path} is not a score table: it does not say what its numbers mean")
        meaning = Meaning(**json.loads(metadata[b"delt_exp.meaning"]))
        ids, scores = (_column(table, name) for name in ("id", "score"))
        return cls(ids, scores, meaning)


def _column(table: Any, name: str) -> Any:
    return np.from_dlpack(table[name].combine_chunks())
