"""JSON Lines files, plain or gzipped."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from delt_exp.dataset.base import Document
from delt_exp.dataset.conversation import RecordTemplate, record_template
from delt_exp.dataset.files import FileDataset, lines
from delt_exp.errors import DataError


@dataclass(frozen=True)
class Jsonl(FileDataset):
    """One document per JSON object and line; blank lines are no records.

    `text` and `prompt` are templates over the object's fields. A field that equals `na_value` counts as empty text.
    """

    text: str
    prompt: str | None
    messages: str | None
    na_value: str | None

    def __post_init__(self) -> None:
        super().__post_init__()
        _ = self._template  # a wrong template is reported before any file is opened

    @cached_property
    def _template(self) -> RecordTemplate:
        return record_template(self.text, self.prompt, self.messages)

    def read(self, file: Path) -> Iterator[Document]:
        """Yield the documents of one file; raises DataError with line and column, or line and field."""
        for number, line in lines(file):
            if line.isspace():
                continue
            record = _parse(line, f"{file}:{number}")
            if self.na_value is not None:
                record = {key: "" if value == self.na_value else value for key, value in record.items()}
            yield self._template.render(record, f"{file}:{number}", self.name)


def _parse(line: str, place: str) -> dict[str, object]:
    try:
        record = json.loads(line.rstrip("\r\n"))
    except json.JSONDecodeError as error:
        raise DataError(f"{place}:{error.colno}: not JSON: {error.msg}. Correct or remove the line.") from error
    if not isinstance(record, dict):
        raise DataError(f"{place}: the line is a JSON {type(record).__name__}, not an object. Use {{...}} per line.")
    return record
