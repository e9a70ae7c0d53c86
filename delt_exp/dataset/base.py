"""What a dataset promises to the rest of the program."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol


@dataclass(frozen=True, slots=True)
class Document:
    """One unit that is scored, kept and ordered.

    `prompt` is conditioning text in front of `text`; it is empty for plain documents. `source` names the corpus the
    document came from, so that mixtures stay readable in tables.
    """

    text: str
    prompt: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class EmptyFile(Document):
    """Stands in the stream of documents for a file without a record, which is counted and is no document."""


class Dataset(Protocol):
    """A re-readable stream of documents; fields of an implementation are the keys of its YAML file."""

    VERSION: ClassVar[int]  # bump when unchanged settings and unchanged files give other documents

    def documents(self) -> Iterator[Document]:
        """Yield every document once, always in the same order; empty texts and files are yielded and counted later.

        Raises DataError (file, line, field and cure) at the first record that cannot be read.
        """

    def fingerprint(self) -> str:
        """Return a hash that changes whenever the files or the remote revision behind the stream change.

        Raises DataError when there is nothing to read; must not read a remote corpus.
        """
