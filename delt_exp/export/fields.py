"""The original records of documents, found by the content of the documents.

A corpus keeps only what the template of its dataset takes from a record. So the files are read a second time, and all
records are put into one file beside the export, with 24 bytes per document in memory.
"""

import json
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.build import build
from delt_exp.corpus.corpus import Ids
from delt_exp.corpus.writing import split_document
from delt_exp.dataset.base import Document, document_id
from delt_exp.errors import ConfigError, DataError
from delt_exp.export.source import Ordered
from delt_exp.progress import track


@runtime_checkable
class Recorded(Protocol):
    """A dataset that can say which record each document was made of."""

    def recorded(self) -> Iterator[tuple[Mapping[str, object], Document]]:
        """Yield the records of all files with the document of each, in reading order."""


class Fields:
    """Original records as JSON; of equal documents the first one's."""

    def __init__(self, ids: Ids, offsets: NDArray[np.int64], sizes: NDArray[np.int64], path: Path) -> None:
        self.ids, first = np.unique(ids, return_index=True)
        self.offsets, self.sizes, self.path = offsets[first], sizes[first], path

    def sizes_of(self, ids: Ids) -> NDArray[np.int64]:
        """Return the bytes of the record of each document."""
        return np.asarray(self.sizes[np.searchsorted(self.ids, ids)])

    def read(self, ids: Ids) -> Iterator[bytes]:
        """Yield the record of each document."""
        places = np.searchsorted(self.ids, ids)
        with self.path.open("rb") as file:
            for place in places.tolist():
                file.seek(int(self.offsets[place]))
                yield file.read(int(self.sizes[place]))


def as_json(record: Mapping[str, object]) -> bytes:
    """Return a record as JSON; what JSON has no form for, such as bytes, as Python shows it."""
    import orjson

    try:
        return orjson.dumps(record, default=str)
    except TypeError:  # an integer beyond 64 bits, or half a character
        return json.dumps(record, default=str).encode()


def read_fields(source: Ordered, path: Path) -> Fields:
    """Read the records of the run's training dataset into `path`.

    Raises ConfigError where the dataset has none, DataError if it has changed since the run.
    """
    config = source.record["config"]
    dataset = build(config["train_dataset"], "train_dataset")
    if not isinstance(dataset, Recorded):
        raise ConfigError(
            f"--fields is for train_dataset=jsonl and train_dataset=parquet, whose documents are records; the run read "
            f"{source.record['choices']['train_dataset']}: leave --fields out"
        )
    ids, offsets, sizes, offset = array("Q"), array("q"), array("q"), 0
    with path.open("wb", buffering=1 << 20) as file, track("reading records", None, "documents") as task:
        for record, whole in dataset.recorded():
            raw = as_json(record)
            for document in split_document(whole, config["corpus"]["max_document_chars"]):
                ids.append(document_id(document))
                offsets.append(offset)
                sizes.append(len(raw))
            offset += file.write(raw)
            task.advance()
    found = Fields(np.array(ids, "u8"), np.array(offsets, "i8"), np.array(sizes, "i8"), path)
    wanted = np.asarray(source.corpus.ids)[source.rows]
    missing = int((~np.isin(wanted, found.ids)).sum())
    if missing:
        raise DataError(
            f"{missing:,} of {len(wanted):,} documents are not in the files of the training dataset: they have changed "
            "since the run, or the selector wrote new ones; repeat the run, or leave --fields out"
        )
    return found
