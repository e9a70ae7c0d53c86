"""A stretch of a dataset, for corpora whose order means something, such as time."""

from collections.abc import Iterator
from typing import ClassVar

from delt_exp.config.fields import NonNegativeInt, settings
from delt_exp.dataset.base import Dataset, Document, EmptyFile
from delt_exp.errors import DataError


@settings
class Slice:
    """The documents of `dataset` after the first `offset`, at most `max_documents` (None: no limit).

    Stretches that do not overlap have no row in common; texts that occur twice can be in both.
    """

    VERSION: ClassVar[int] = 1
    dataset: Dataset
    offset: NonNegativeInt
    max_documents: NonNegativeInt | None

    def documents(self) -> Iterator[Document]:
        """Yield the documents in the order of `dataset`; raises what it raises, and DataError where `offset` is past
        its end.
        """
        row = 0
        for document in self.dataset.documents():
            if isinstance(document, EmptyFile):  # counted, and no document
                yield document
                continue
            if self.max_documents is not None and row >= self.offset + self.max_documents:
                return
            if row >= self.offset:
                yield document
            row += 1
        if 0 < row <= self.offset:
            raise DataError(f"offset={self.offset} leaves none of the {row} documents; give a smaller one")

    def fingerprint(self) -> str:
        """Return the fingerprint of `dataset`."""
        return self.dataset.fingerprint()
