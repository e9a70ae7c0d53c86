"""Parquet files."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from delt_exp.dataset.base import Document
from delt_exp.dataset.conversation import RecordTemplate, record_template
from delt_exp.dataset.files import FileDataset
from delt_exp.errors import DataError

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_BATCH_ROWS = 1024


@dataclass(frozen=True)
class Parquet(FileDataset):
    """One document per row, read in batches of rows; only the columns of the templates `text` and `prompt` are read."""

    text: str
    prompt: str | None
    messages: str | None

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._template  # a wrong template is reported before any file is opened

    @cached_property
    def _template(self) -> RecordTemplate:
        return record_template(self.text, self.prompt, self.messages)

    def read(self, file: Path) -> Iterator[Document]:
        """Yield the documents of one file; raises DataError with the row (from 1) or the missing column."""
        import pyarrow as pa  # 0.2 s that only Parquet users pay
        import pyarrow.parquet as pq

        row = 0
        try:
            with pq.ParquetFile(file) as parquet:
                for batch in parquet.iter_batches(_BATCH_ROWS, columns=self._columns(parquet, file)):
                    for record in batch.to_pylist():
                        row += 1
                        yield self._template.render(record, f"{file}: row {row}", self.name)
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise DataError(f"{file}: not readable as Parquet after row {row}: {error}. Write it again.") from error

    def _columns(self, parquet: "pq.ParquetFile", file: Path) -> list[str]:
        present = parquet.schema_arrow.names
        missing = sorted(self._template.fields - set(present))
        if missing:
            raise DataError(
                f"{file}: no column {missing[0]!r}, which text={self.text!r} or prompt={self.prompt!r} names. "
                f"The columns are: {', '.join(present)}. Correct the template."
            )
        return sorted(self._template.fields)
