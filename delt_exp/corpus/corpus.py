"""Documents on disk: read once from a dataset as a stream, then randomly accessible without being in memory.

A corpus folder holds `text.bin` (UTF-8 of the parts of every document, one after the other), one .npy column per
property of documents or parts, and `meta.json` with the counts. Documents are named by a 64-bit hash of their content.

A preference is read as its chosen side by whoever does not ask for the rejected answer: scores, overlap and sizes.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.dataset.base import ROLES, Document, Part, joined
from delt_exp.files import DescribedFolder
from delt_exp.rows.candidates import Candidates

Ids = NDArray[np.uint64]
FORMAT = 2  # bump when the same documents are written differently
REJECTED = ROLES.index("rejected")
# One row per document, and one per part: typed arrays, so that a hundred million plain documents cost 45 bytes each
# and not Python objects. offsets: where a document begins in text.bin; first_parts: where its parts begin.
COLUMNS = {"ids": "Q", "offsets": "q", "first_parts": "q", "num_parts": "I", "text_bytes": "i", "bytes": "i",
           "sources": "I"}  # fmt: skip
PART_COLUMNS = {"part_bytes": "i", "part_roles": "B"}


@dataclass(frozen=True)
class Corpus(DescribedFolder):
    """Read-only view of a corpus folder; row i is document i everywhere in the program.

    meta: counts and source names. digest: of all ids in order and their sources.
    """

    def __len__(self) -> int:
        return int(self.meta["documents"])

    @property
    def facts(self) -> list[Any]:
        """What decides a part of the corpus: its documents, and what it tells of those that were read and left out."""
        return [self.digest, self.meta["counts"], self.meta["left_out"]]

    @cached_property
    def ids(self) -> Ids:
        """[N] 64-bit content hashes."""
        return self.column("ids")

    @cached_property
    def text_bytes(self) -> NDArray[np.int32]:
        """[N] UTF-8 bytes of what is to be predicted of each document: without its prompt, or its other turns.

        Of a preference those of the chosen side.
        """
        return self.column("text_bytes")

    @cached_property
    def whole_bytes(self) -> NDArray[np.int32]:
        """[N] UTF-8 bytes of each document, all of its parts; of a preference those of the chosen side."""
        stored: NDArray[np.int32] = self.column("bytes")
        if not self.num_preferences:
            return stored
        last = last_parts(self.column("first_parts"), self.column("num_parts"))
        return stored - np.where(self.column("part_roles")[last] == REJECTED, self.column("part_bytes")[last], 0)

    @property
    def num_preferences(self) -> int:
        """How many documents have a rejected answer."""
        return int(self.meta.get("preferences", 0))

    @cached_property
    def source_codes(self) -> NDArray[np.uint32]:
        """[N] position in `meta["sources"]` of the corpus that each document came from."""
        return self.column("sources")

    def source(self, row: int) -> str:
        """Return the name of the corpus that document `row` came from."""
        return str(self.meta["sources"][self.source_codes[row]])

    def candidates(self, goodness: NDArray[np.float32]) -> Candidates:
        """Return all documents as selectors see them, with their goodness [N] and their sources as groups."""
        return Candidates(self.ids, goodness, self.source_codes, self.meta["sources"])

    def document(self, row: int) -> Document:
        """Return document `row` as it was read, with its source."""
        return Document.of_parts(next(self.stored([row])), self.source(row))

    def read(self, rows: Any = None) -> Iterator[tuple[Part, ...]]:
        """Yield the parts of the given rows, or of all rows in order; of a preference those of the chosen side."""
        parts = self.stored(rows)
        return map(_chosen, parts) if self.num_preferences else parts

    def read_rejected(self, rows: Any = None) -> Iterator[tuple[Part, ...]]:
        """Yield the parts of the rejected sides: as `read`, with the rejected answer in place of the last part.

        All documents read must be preferences.
        """
        return map(_rejected, self.stored(rows))

    def stored(self, rows: Any = None) -> Iterator[tuple[Part, ...]]:
        """Yield the parts as they are stored: a rejected answer is a last part.

        Every document is one read at its place: a buffer would be filled anew for each document of a shuffled order.
        """
        offsets, first, number, size, part_bytes, part_roles = (
            np.asarray(self.column(name))  # the memory map, without its class, which is slow to slice
            for name in ("offsets", "first_parts", "num_parts", "bytes", "part_bytes", "part_roles")
        )
        with (self.folder / "text.bin").open("rb", buffering=0) as file:
            for row in range(len(self)) if rows is None else rows:
                raw = os.pread(file.fileno(), int(size[row]), int(offsets[row]))
                chosen = slice(int(first[row]), int(first[row]) + int(number[row]))
                yield tuple(_parts(raw, part_bytes[chosen].tolist(), part_roles[chosen].tolist()))

    def texts(self, rows: Any = None) -> Iterator[str]:
        """Yield documents as one string each, prompts and turns included (see `joined`)."""
        return map(joined, self.read(rows))

    def column(self, name: str) -> Any:
        """Return a column of documents or of parts, memory-mapped; its name is one of COLUMNS or PART_COLUMNS."""
        return _load_column(self.folder / f"{name}.npy")


def _chosen(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    return parts[:-1] if parts[-1].role == "rejected" else parts


def _rejected(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    return (*parts[:-2], parts[-2]._replace(text=parts[-1].text))


def _load_column(path: Path) -> Any:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _parts(raw: bytes, sizes: list[int], roles: list[int]) -> Iterator[Part]:
    start = 0
    for size, role in zip(sizes, roles, strict=True):
        yield Part(ROLES[role], raw[start : start + size].decode())
        start += size


def last_parts(first_parts: NDArray[np.int64], num_parts: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return [N] the row of each document's last part."""
    return np.asarray(first_parts) + num_parts.astype(np.int64) - 1
