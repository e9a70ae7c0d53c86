"""Parquet files."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from delt_exp.config.fields import settings
from delt_exp.dataset.base import Document
from delt_exp.dataset.compression import HEAD_BYTES, foreign
from delt_exp.dataset.files import FileDataset
from delt_exp.dataset.records import Records
from delt_exp.errors import DataError

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_BATCH_ROWS = 1024
_SETTINGS = "text, prompt, messages, rejected and winner"


@settings
class Parquet(FileDataset, Records):
    """One document per row, read in batches of rows; only the columns that the settings name are read."""

    SUFFIXES: ClassVar[tuple[str, ...]] = (".parquet", ".pq")

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.template  # a wrong template is reported before any file is opened

    def read(self, file: Path) -> Iterator[Document]:
        """Yield the documents of one file; raises DataError with the row (from 1) or the missing column."""
        return (document for _, document in self._recorded(file, whole=False))

    def recorded(self) -> Iterator[tuple[Mapping[str, object], Document]]:
        """Yield the rows that the run reads, all of their columns, each with its document."""
        return self.first(partial(self._recorded, whole=True))

    def _recorded(self, file: Path, *, whole: bool) -> Iterator[tuple[Mapping[str, object], Document]]:
        import pyarrow as pa  # 0.2 s that only Parquet users pay
        import pyarrow.parquet as pq

        row = 0
        try:
            with pq.ParquetFile(file) as parquet:
                columns = self._columns(parquet, file)
                for batch in parquet.iter_batches(_BATCH_ROWS, columns=None if whole else columns):
                    for record in batch.to_pylist():
                        row += 1
                        yield record, self.template.render(record, f"{file}: row {row}", self.name)
        except (pa.ArrowException, ValueError) as error:
            with file.open("rb") as stream:
                head = stream.read(HEAD_BYTES)
            advice = None if head.startswith(b"PAR1") else foreign(head)
            if advice is not None:
                raise DataError(f"{file} is {advice}") from error
            raise DataError(f"{file}: not readable as Parquet after row {row}: {error}. Write it again.") from error

    def _columns(self, parquet: "pq.ParquetFile", file: Path) -> list[str]:
        present = parquet.schema_arrow.names
        missing = sorted(self.template.fields - set(present))
        if missing:
            raise DataError(
                f"{file}: no column {missing[0]!r}, which one of {_SETTINGS} names. "
                f"The columns are: {', '.join(present)}. Correct the setting."
            )
        twice = sorted(name for name in self.template.fields if present.count(name) > 1)
        if twice:
            raise DataError(
                f"{file}: {present.count(twice[0])} columns are named {twice[0]!r}, which one of {_SETTINGS} names: "
                "it could mean any of them. Write the file with different names."
            )
        return sorted(self.template.fields)
