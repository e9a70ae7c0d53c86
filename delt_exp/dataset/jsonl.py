"""JSON files, plain or compressed: one object per line, or one array of objects."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from delt_exp.config.fields import settings
from delt_exp.dataset.base import Document
from delt_exp.dataset.files import FileDataset
from delt_exp.dataset.json_records import json_records
from delt_exp.dataset.records import Records


@settings
class Jsonl(FileDataset, Records):
    """One document per JSON object, which has a line or is an element of the one array; blank lines are no records.

    A field that equals `na_value` counts as empty text.
    """

    SUFFIXES: ClassVar[tuple[str, ...]] = (".jsonl", ".json", ".ndjson")

    na_value: str | None

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self.template  # a wrong template is reported before any file is opened

    def read(self, file: Path) -> Iterator[Document]:
        """Yield the documents of one file; raises DataError with line and column, or line and field."""
        return (document for _, document in self._recorded(file))

    def recorded(self) -> Iterator[tuple[Mapping[str, object], Document]]:
        """Yield the records that the run reads, each with its document."""
        return self.first(self._recorded)

    def _recorded(self, file: Path) -> Iterator[tuple[Mapping[str, object], Document]]:
        for original, place in json_records(file):
            record = original
            if self.na_value is not None:
                record = {key: "" if value == self.na_value else value for key, value in record.items()}
            yield original, self.template.render(record, place, self.name)
