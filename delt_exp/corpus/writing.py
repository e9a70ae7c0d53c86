"""Writes documents to a corpus folder (see `delt_exp.corpus.corpus`): from a dataset, or some of another corpus."""

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Several, settings
from delt_exp.corpus.corpus import COLUMNS, PART_COLUMNS, REJECTED, Corpus, last_parts
from delt_exp.dataset.base import ROLES, Dataset, Document, EmptyFile, Part, document_id
from delt_exp.errors import DataError
from delt_exp.files import digest, write_json
from delt_exp.progress import track


@settings
class CorpusSettings:
    """max_document_chars: longer documents are split, null keeps them whole. drop_duplicates: exact ones go."""

    max_document_chars: Several | None
    drop_duplicates: bool


WHOLE = CorpusSettings(max_document_chars=None, drop_duplicates=False)
WHOLE_DISTINCT = CorpusSettings(max_document_chars=None, drop_duplicates=True)


def split_document(document: Document, max_chars: int | None) -> Iterator[Document]:
    """Cut a document longer than `max_chars` characters into pieces that end at a paragraph, line, sentence or word.

    The pieces joined are the document. Pairs, conversations and preferences stay whole: their parts mean little apart.
    """
    text = document.text
    if max_chars is None or len(text) <= max_chars or document.prompt or document.rejected:
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


class _Writer:
    """Appends documents to text.bin and to the columns."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.columns = {name: array(code) for name, code in {**COLUMNS, **PART_COLUMNS}.items()}
        self.sources: dict[str, int] = {}
        self.offset = 0

    def write(self, document: Document) -> None:
        columns, parts = self.columns, document.parts
        if document.rejected:
            parts = (*parts, Part("rejected", document.rejected))
        encoded = [part.text.encode() for part in parts]
        if (size := sum(map(len, encoded))) >= 2**31:
            raise DataError(
                f"a document of {document.source or 'unnamed source'} has {size:,} bytes, and one may have at most "
                f"{2**31 - 1:,}: cut it, or set corpus.max_document_chars"
            )
        row = {
            "ids": document_id(document),
            "offsets": self.offset,
            "first_parts": len(columns["part_bytes"]),
            "num_parts": len(parts),
            "text_bytes": sum(len(raw) for part, raw in zip(parts, encoded, strict=True) if part.is_predicted),
            "bytes": size,
            "sources": self.sources.setdefault(document.source, len(self.sources)),
        }
        for name, value in row.items():
            columns[name].append(value)
        for part, raw in zip(parts, encoded, strict=True):
            columns["part_bytes"].append(len(raw))
            columns["part_roles"].append(ROLES.index(part.role))
            self.offset += self.file.write(raw)


def write_corpus(dataset: Dataset, settings: CorpusSettings, folder: Path) -> None:
    """Read a dataset once and write it to `folder`; raises DataError when no document has any text."""
    counts = {
        "empty_files": 0, "read": 0, "empty": 0, "left_out": 0, "split": 0, "blank_pieces": 0, "duplicates": 0,
    }  # fmt: skip
    left_out: Counter[str] = Counter()
    with (folder / "text.bin").open("wb", buffering=1 << 20) as file, track("reading", None, "documents") as task:
        writer = _Writer(file)
        for whole in dataset.documents():
            if isinstance(whole, EmptyFile):
                counts["empty_files"] += 1
                continue
            counts["read"] += 1
            left_out.update(whole.left_out)
            task.advance()
            if not _has_text(whole):
                counts["left_out" if whole.left_out else "empty"] += 1
                continue
            pieces = list(split_document(whole, settings.max_document_chars))
            counts["split"] += len(pieces) > 1
            counts["blank_pieces"] += sum(not _has_text(piece) for piece in pieces)
            for document in filter(_has_text, pieces):
                writer.write(document)
    if not writer.columns["ids"]:
        reasons = "".join(f", {count} {reason}" for reason, count in sorted(left_out.items()))
        raise DataError(
            f"no document with text: {counts['read']} read, {counts['empty']} empty{reasons}; check the `text` "
            f"template and the path of {dataset!r}"
        )
    meta = {"sources": list(writer.sources), "counts": counts, "left_out": dict(sorted(left_out.items()))}
    _finish(folder, writer.columns, meta, settings.drop_duplicates)


def _has_text(document: Document) -> bool:
    return any(part.is_predicted and bool(part.text.strip()) for part in document.parts)


def _finish(folder: Path, columns: dict[str, "array[int]"], meta: dict[str, Any], drop_duplicates: bool) -> None:
    """Write the columns, without the documents that occurred before where these are to be dropped."""
    arrays = {name: np.frombuffer(columns[name], dtype=code) for name, code in COLUMNS.items()}
    _, first = np.unique(arrays["ids"], return_index=True)
    duplicates = len(arrays["ids"]) - len(first)
    kept = np.sort(first) if drop_duplicates else np.arange(len(arrays["ids"]))
    kept_columns = {name: values[kept] for name, values in arrays.items()}
    for name, values in kept_columns.items():
        np.save(folder / f"{name}.npy", values)
    for name, code in PART_COLUMNS.items():
        np.save(folder / f"{name}.npy", np.frombuffer(columns[name], dtype=code))
    dropped = duplicates if drop_duplicates else 0
    numbers = {
        "documents": len(kept),
        "text_bytes": int(kept_columns["text_bytes"].sum(dtype=np.int64)),
        **_preferences(kept_columns, np.frombuffer(columns["part_roles"], "B")),
        "counts": {**meta["counts"], "duplicates": duplicates, "duplicates_dropped": dropped},
        "digest": digest(kept_columns["ids"], kept_columns["sources"], meta["sources"]),
    }
    write_json(folder / "meta.json", {**meta, **numbers})


def _preferences(columns: Mapping[str, NDArray[Any]], part_roles: NDArray[np.uint8]) -> dict[str, int]:
    """Return how many documents have a rejected answer, as an entry of `meta.json`; without any there is none."""
    count = int((part_roles[last_parts(columns["first_parts"], columns["num_parts"])] == REJECTED).sum())
    return {"preferences": count} if count else {}


def write_part(corpus: Corpus, rows: NDArray[np.intp], folder: Path, reason: str) -> None:
    """Write the given rows of a corpus, ascending, as a corpus; the others are counted as `reason`."""
    kept = {name: corpus.column(name)[rows] for name in COLUMNS}
    num_parts, sizes = kept["num_parts"].astype(np.int64), kept["bytes"].astype(np.int64)
    new_first = np.cumsum(num_parts) - num_parts
    # The parts of a kept document are the stretch of its own in the columns of all parts.
    part_rows = np.repeat(kept["first_parts"] - new_first, num_parts) + np.arange(num_parts.sum())
    with (folder / "text.bin").open("wb", buffering=1 << 20) as file:
        for parts in corpus.stored(rows):
            file.writelines(part.text.encode() for part in parts)
    places = {"offsets": np.cumsum(sizes) - sizes, "first_parts": new_first}
    of_parts = {name: corpus.column(name)[part_rows] for name in PART_COLUMNS}
    for name, values in (kept | places | of_parts).items():
        np.save(folder / f"{name}.npy", values)
    meta = {
        **{key: value for key, value in corpus.meta.items() if key != "preferences"},
        "documents": len(rows),
        "text_bytes": int(kept["text_bytes"].sum(dtype=np.int64)),
        **_preferences(kept | places, of_parts["part_roles"]),
        "counts": {**corpus.meta["counts"], reason: len(corpus) - len(rows)},
        "digest": digest(kept["ids"], kept["sources"], corpus.meta["sources"]),
    }
    write_json(folder / "meta.json", meta)
