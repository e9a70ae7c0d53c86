"""JSON files, plain or compressed: one object a line, or one array of objects."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from delt_exp.config.fields import settings
from delt_exp.dataset.base import Document
from delt_exp.dataset.conversation import RecordTemplate, record_template
from delt_exp.dataset.files import FileDataset
from delt_exp.dataset.json_records import json_records
from delt_exp.dataset.template import Values


@settings
class Jsonl(FileDataset):
    """One document per JSON object, which has a line or is an element of the one array; blank lines are no records.

    `text` and `prompt` are templates over the object's fields. A field that equals `na_value` counts as empty text,
    and so does null with `null_as_empty`; with `numbers_as_text` a number is read as Python writes it.
    """

    SUFFIXES: ClassVar[tuple[str, ...]] = (".jsonl", ".json", ".ndjson")

    text: str
    prompt: str | None
    messages: str | None
    na_value: str | None
    null_as_empty: bool
    numbers_as_text: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._template  # a wrong template is reported before any file is opened

    @cached_property
    def _template(self) -> RecordTemplate:
        values = Values(self.null_as_empty, self.numbers_as_text)
        return record_template(self.text, self.prompt, self.messages, values)

    def read(self, file: Path) -> Iterator[Document]:
        """Yield the documents of one file; raises DataError with line and column, or line and field."""
        for record, place in json_records(file):
            if self.na_value is not None:
                record = {key: "" if value == self.na_value else value for key, value in record.items()}
            yield self._template.render(record, place, self.name)
