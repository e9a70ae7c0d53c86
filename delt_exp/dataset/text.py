"""Plain-text files."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Literal

from delt_exp.config.fields import settings
from delt_exp.dataset.base import Document
from delt_exp.dataset.files import FileDataset, lines


@settings
class Text(FileDataset):
    """One document per `unit`: a whole file, a paragraph (a run of lines that are not blank), or a line.

    Paragraphs and lines come without their line end; a blank line is an empty document when the unit is a line.
    """

    unit: Literal["file", "paragraph", "line"]

    def read(self, file: Path) -> Iterator[Document]:
        """Yield the documents of one UTF-8 file; raises DataError with line and byte offset."""
        return (Document(text, "", self.name) for text in self._units(line for _, line in lines(file)))

    def _units(self, stream: Iterator[str]) -> Iterator[str]:
        if self.unit == "file":
            yield "".join(stream)
        elif self.unit == "line":
            yield from (line.rstrip("\r\n") for line in stream)
        else:
            for blank, run in groupby(stream, str.isspace):
                if not blank:
                    yield "".join(run).rstrip("\r\n")
