"""Texts that are there already, as a dataset."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from delt_exp.dataset.base import Document
from delt_exp.files import digest


@dataclass(frozen=True)
class InMemory:
    """One plain document for each text."""

    VERSION: ClassVar[int] = 1
    texts: tuple[str, ...]

    def documents(self) -> Iterator[Document]:
        return (Document(text) for text in self.texts)

    def fingerprint(self) -> str:
        return digest(list(self.texts))
