"""Documents on disk: read once from a dataset as a stream, then randomly accessible without being in memory.

A corpus folder holds `text.bin` (UTF-8 of prompt and text, document after document), one .npy column per property and
`meta.json` with the counts. Documents are named by a 64-bit hash of their content.
"""

import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.checks import check_integer
from delt_exp.dataset.base import Dataset, Document, EmptyFile
from delt_exp.errors import DataError
from delt_exp.files import digest, read_json, write_json
from delt_exp.progress import track

Ids = NDArray[np.uint64]
FORMAT = 2  # bump when the same documents are written differently
# One row a document; typed arrays, so that a hundred million documents cost 28 bytes each and not Python objects.
COLUMNS = {"ids": "Q", "offsets": "q", "prompt_bytes": "i", "text_bytes": "i", "sources": "I"}


@dataclass(frozen=True)
class CorpusSettings:
    """max_document_chars: longer documents are split, null keeps them whole. drop_duplicates: exact ones go."""

    max_document_chars: int | None
    drop_duplicates: bool

    def __post_init__(self) -> None:
        if self.max_document_chars is not None:
            check_integer("corpus.max_document_chars", self.max_document_chars, at_least=2)


def document_id(document: Document) -> int:
    """Return the 64-bit content hash of a document; equal prompt and text give equal ids, whatever the source."""
    state = hashlib.blake2b(document.text.encode(), digest_size=8, key=b"doc")
    if document.prompt:
        state.update(b"\x00prompt\x00" + document.prompt.encode())
    return int.from_bytes(state.digest(), "little")


def split_document(document: Document, max_chars: int | None) -> Iterator[Document]:
    """Cut a document longer than `max_chars` characters into pieces that end at a paragraph, line, sentence or word.

    The pieces joined are the document. A prompt/completion pair stays whole: its parts mean little apart.
    """
    text = document.text
    if max_chars is None or len(text) <= max_chars or document.prompt:
        yield document
        return
    start = 0
    while len(text) - start > max_chars:
        end = _last_break(text, start, start + max_chars)
        yield Document(text[start:end], source=document.source)
        start = end
    yield Document(text[start:], source=document.source)


def _last_break(text: str, start: int, end: int) -> int:
    """Return the best cut in the second half of text[start:end]: after a blank line, line, sentence or word."""
    middle = (start + end) // 2
    for mark in ("\n\n", "\n", ". ", " "):
        found = text.rfind(mark, middle, end)
        if found >= middle:
            return found + len(mark)
    return end


def write_corpus(dataset: Dataset, settings: CorpusSettings, folder: Path) -> None:
    """Read a dataset once and write it to `folder`; raises DataError when no document has any text."""
    columns = {name: array(code) for name, code in COLUMNS.items()}
    sources: dict[str, int] = {}
    counts = {"empty_files": 0, "read": 0, "empty": 0, "split": 0, "blank_pieces": 0, "duplicates": 0}
    offset = 0
    with (folder / "text.bin").open("wb", buffering=1 << 20) as file, track("reading", None, "documents") as task:
        for whole in dataset.documents():
            if isinstance(whole, EmptyFile):
                counts["empty_files"] += 1
                continue
            counts["read"] += 1
            task.advance()
            if not whole.text.strip():
                counts["empty"] += 1
                continue
            pieces = list(split_document(whole, settings.max_document_chars))
            counts["split"] += len(pieces) > 1
            counts["blank_pieces"] += sum(not piece.text.strip() for piece in pieces)
            for document in (piece for piece in pieces if piece.text.strip()):
                prompt, text = document.prompt.encode(), document.text.encode()
                source = sources.setdefault(document.source, len(sources))
                row = (document_id(document), offset, len(prompt), len(text), source)
                for column, value in zip(columns.values(), row, strict=True):
                    column.append(value)
                offset += file.write(prompt) + file.write(text)
    if not columns["ids"]:
        raise DataError(
            f"no document with text: {counts['read']} read, {counts['empty']} empty; check the `text` template "
            f"and the path of {dataset!r}"
        )
    _finish(folder, columns, list(sources), counts, settings.drop_duplicates)


def _finish(
    folder: Path, columns: dict[str, "array[int]"], sources: list[str], counts: dict[str, int], drop_duplicates: bool
) -> None:
    arrays = {name: np.frombuffer(columns[name], dtype=code) for name, code in COLUMNS.items()}
    _, first = np.unique(arrays["ids"], return_index=True)
    counts["duplicates"] = len(arrays["ids"]) - len(first)
    kept = np.sort(first) if drop_duplicates else np.arange(len(arrays["ids"]))
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values[kept])
    ids, bytes_ = arrays["ids"][kept], arrays["text_bytes"][kept]
    meta = {
        "documents": len(ids),
        "text_bytes": int(bytes_.sum(dtype=np.int64)),
        "sources": sources,
        "counts": {**counts, "duplicates_dropped": counts["duplicates"] if drop_duplicates else 0},
        "digest": digest(ids, arrays["sources"][kept], sources),
    }
    write_json(folder / "meta.json", meta)


def write_part(corpus: "Corpus", rows: NDArray[np.intp], folder: Path, reason: str) -> None:
    """Write the given rows of a corpus, ascending, as a corpus; the others are counted as `reason`."""
    columns: dict[str, NDArray[Any]] = {
        "ids": corpus.ids,
        "prompt_bytes": corpus.prompt_bytes,
        "text_bytes": corpus.text_bytes,
        "sources": corpus.source_codes,
    }
    kept = {name: column[rows] for name, column in columns.items()}
    sizes = kept["prompt_bytes"].astype(np.int64) + kept["text_bytes"]
    with (folder / "text.bin").open("wb", buffering=1 << 20) as file:
        for prompt, text in corpus.read(rows):
            file.write(prompt.encode() + text.encode())
    for name, values in (kept | {"offsets": np.cumsum(sizes) - sizes}).items():
        np.save(folder / f"{name}.npy", values)
    meta = {
        **corpus.meta,
        "documents": len(rows),
        "text_bytes": int(kept["text_bytes"].sum(dtype=np.int64)),
        "counts": {**corpus.meta["counts"], reason: len(corpus) - len(rows)},
        "digest": digest(kept["ids"], kept["sources"], corpus.meta["sources"]),
    }
    write_json(folder / "meta.json", meta)


@dataclass(frozen=True)
class Corpus:
    """Read-only view of a corpus folder; row i is document i everywhere in the program."""

    folder: Path

    @cached_property
    def meta(self) -> dict[str, Any]:
        """Counts, source names and the content digest."""
        meta: dict[str, Any] = read_json(self.folder / "meta.json")
        return meta

    def __len__(self) -> int:
        return int(self.meta["documents"])

    @property
    def digest(self) -> str:
        """Hash of all ids in order and their sources: equal digests mean equal documents."""
        return str(self.meta["digest"])

    @cached_property
    def ids(self) -> Ids:
        """[N] 64-bit content hashes."""
        return self._column("ids")

    @cached_property
    def text_bytes(self) -> NDArray[np.int32]:
        """[N] UTF-8 bytes of each text, without its prompt."""
        return self._column("text_bytes")

    @cached_property
    def prompt_bytes(self) -> NDArray[np.int32]:
        """[N] UTF-8 bytes of each prompt; 0 for plain documents."""
        return self._column("prompt_bytes")

    @cached_property
    def source_codes(self) -> NDArray[np.uint32]:
        """[N] position in `meta["sources"]` of the corpus that each document came from."""
        return self._column("sources")

    def source(self, row: int) -> str:
        """Return the name of the corpus that document `row` came from."""
        return str(self.meta["sources"][self.source_codes[row]])

    def document(self, row: int) -> Document:
        """Return document `row` with prompt, text and source."""
        (prompt, text) = next(self.read([row]))
        return Document(text, prompt, self.source(row))

    def read(self, rows: Any = None) -> Iterator[tuple[str, str]]:
        """Yield (prompt, text) of the given rows, or of all rows in order, through a plain file handle."""
        offsets, prompts, texts = self._column("offsets"), self.prompt_bytes, self.text_bytes
        with (self.folder / "text.bin").open("rb", buffering=1 << 20) as file:
            position = 0
            for row in range(len(self)) if rows is None else rows:
                if position != offsets[row]:
                    file.seek(offsets[row])
                raw = file.read(int(prompts[row]) + int(texts[row]))
                position = int(offsets[row]) + len(raw)
                yield raw[: prompts[row]].decode(), raw[prompts[row] :].decode()

    def texts(self) -> Iterator[str]:
        """Yield every document as one string, prompt included."""
        return (prompt + text for prompt, text in self.read())

    def _column(self, name: str) -> Any:
        return _load_column(self.folder / f"{name}.npy")


def _load_column(path: Path) -> Any:
    return np.load(path, mmap_mode="r", allow_pickle=False)
