"""The format of a token stream, with its index of documents."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.export.fields import Fields
from delt_exp.export.source import Ordered

PIECE_TOKENS = 1 << 22  # in memory at once
INDEX_DOCUMENTS = 100_000  # likewise, of the index


class TokenStream:
    """Token ids one after the other, as nanoGPT reads them: uint16 or uint32, little-endian, no header.

    The shards one after the other are the stream that layout `packed` cuts into sequences: begin token, document and
    end-of-text token of each document in training order; where begin token and end-of-text token are the same, the one
    that closes a document also begins the next.
    """

    name: ClassVar[str] = "bin"
    max_shard_bytes: ClassVar[int | None] = None
    columns: tuple[str, ...] = ()

    def __init__(self, source: Ordered, *, with_tokens: bool, fields: Fields | None = None) -> None:
        self.source, self.dtype = source, np.dtype(source.tokens.meta["dtype"]).newbyteorder("<")
        self.is_shared = source.tokens.begin_id == source.tokens.eos_id
        self.sizes = (source.tokens.lengths[source.rows] + (1 if self.is_shared else 2)) * self.dtype.itemsize

    def file_name(self, number: int, count: int) -> str:
        return f"train-{number:05d}-of-{count:05d}.bin"

    def write(self, path: Path, start: int, stop: int) -> None:
        with path.open("wb", buffering=1 << 20) as file:
            for piece in self._pieces(start, stop):
                file.write(np.ascontiguousarray(piece, self.dtype).data)

    def _pieces(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        tokens = self.source.tokens
        begin, eos = np.array([tokens.begin_id]), np.array([tokens.eos_id])
        for position in range(start, stop):
            row = int(self.source.rows[position])
            if not self.is_shared or position == 0:
                yield begin
            for first in range(0, int(tokens.lengths[row]), PIECE_TOKENS):
                yield tokens.document(row, first, first + PIECE_TOKENS)
            yield eos

    def finish(self, folder: Path, names: list[str]) -> None:
        """Write `documents.parquet`: one row per document, with the place of its first token in the stream."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        lengths = self.sizes // self.dtype.itemsize
        begins = np.cumsum(lengths) - lengths + (1 if self.is_shared else 0)
        schema = pa.schema([
            ("id", pa.string()), ("position", pa.int64()), ("score", pa.float32()), ("source", pa.string()),
            ("begins", pa.int64()), ("tokens", pa.int64()),
        ])  # fmt: skip
        source = self.source
        names_of = source.corpus.meta["sources"]
        with pq.ParquetWriter(folder / "documents.parquet", schema) as writer:
            for first in range(0, len(source), INDEX_DOCUMENTS):
                part = slice(first, first + INDEX_DOCUMENTS)
                rows = source.rows[part]
                columns = {
                    "id": [f"{name:016x}" for name in np.asarray(source.corpus.ids)[rows].tolist()],
                    "position": np.arange(first, first + len(rows)),
                    "score": source.scores[part],
                    "source": [names_of[code] for code in source.corpus.source_codes[rows].tolist()],
                    "begins": begins[part],
                    "tokens": source.tokens.lengths[rows],
                }
                writer.write_table(pa.table(columns, schema=schema))
