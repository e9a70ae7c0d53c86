"""A number that the records of the dataset bring along, such as FineWeb-Edu's `score`."""

from array import array
from collections.abc import Iterator
from dataclasses import replace
from math import isfinite
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Several, settings
from delt_exp.corpus.writing import split_document
from delt_exp.dataset.base import Dataset, Document, EmptyFile, document_id
from delt_exp.dataset.files import FileDataset
from delt_exp.dataset.records import Records
from delt_exp.errors import ConfigError, DataError
from delt_exp.progress import track
from delt_exp.quantity import Direction, Meaning
from delt_exp.scorer.base import Pool
from delt_exp.scorer.file_rows import rows_of_ids


@settings
class FieldScorer:
    """The number in `field` of the record that a document was made from.

    dataset: that of the run, a dataset of records (jsonl, parquet, hub), which is read once more. field: its name, or
    `meta[score]` for one inside another. better: which end is better. max_document_chars: as in the corpus; the pieces
    of a long document have the number of the whole. Of records with the same text the first counts, as for the corpus.
    Raises ConfigError for a dataset without records, DataError for a record whose field is missing or no number.
    """

    VERSION: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset()
    dataset: Dataset
    field: str
    better: Direction
    max_document_chars: Several | None

    def __post_init__(self) -> None:
        if not isinstance(self.dataset, Records):
            raise ConfigError(
                f"scorer=field reads a field of records, but train_dataset={type(self.dataset).__name__} has none; use "
                "train_dataset=jsonl, parquet or hub, or scores in a file (scorer=table)"
            )
        try:
            _ = self._numbers  # a name that cannot be a field is refused before anything is read
        except ConfigError as error:
            raise ConfigError(
                f"scorer.field={self.field!r} is not the name of a field; give it as it stands in the records, such as "
                "score, or meta[score] for one inside another"
            ) from error

    @property
    def meaning(self) -> Meaning:
        explanation = f"The number in the field {self.field} of the document's record."
        return Meaning(self.field, "as in the record", self.better, explanation)

    @property
    def _numbers(self) -> Any:
        """The dataset with the field as the text of each document."""
        return replace(
            self.dataset,  # type: ignore[type-var]
            text="{" + self.field + "}", prompt=None, messages=None, rejected=None, winner=None,
            null_as_empty=True, numbers_as_text=True,
        )  # fmt: skip

    def check_files(self) -> None:
        """Check the first record of files, which mostly is as all are; records elsewhere may need a network."""
        first = next(self._pairs(), None) if isinstance(self.dataset, FileDataset) else None
        if first is not None:
            self._value(first[1].text, 1, first[0])

    def score(self, pool: Pool) -> NDArray[np.float32]:
        ids, scores = array("Q"), array("d")
        with track("reading fields", None, "records") as task:
            for number, (document, value) in enumerate(self._pairs(), start=1):
                score = self._value(value.text, number, document)
                for piece in split_document(document, self.max_document_chars):
                    ids.append(document_id(piece))
                    scores.append(score)
                task.advance()
        cure = "give the dataset of the run (${train_dataset}) and its corpus.max_document_chars"
        rows_R = rows_of_ids(np.frombuffer(ids, np.uint64), pool, "scorer.dataset has no record", cure)
        return np.frombuffer(scores, np.float64)[rows_R].astype(np.float32)

    def _pairs(self) -> Iterator[tuple[Document, Document]]:
        """Yield each document with the one whose text is the field; both streams come from the same records."""
        streams = (self.dataset.documents(), self._fields())
        return ((one, other) for one, other in zip(*streams, strict=True) if not isinstance(one, EmptyFile))

    def _fields(self) -> Iterator[Document]:
        """Yield the field of each record as a document; errors name the setting instead of the template made of it."""
        try:
            yield from self._numbers.documents()
        except DataError as error:
            said = str(error).replace(f"text={self._numbers.text!r}", f"scorer.field={self.field!r}")
            said = said.replace(", not text.", ", not a number.")
            raise DataError(said) from error

    def _value(self, text: str, number: int, document: Document) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not isfinite(value):
            raise DataError(
                f"record {number} (document {document_id(document):016x}, {document.text[:40]!r}): the field "
                f"{self.field!r} is {text[:40]!r} and not a finite number; give every record one, or leave "
                "the others out"
            )
        return value
