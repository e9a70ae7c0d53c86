"""Formats of records: JSON lines, Parquet, and Arrow as `datasets` reads it."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from delt_exp.export.fields import Fields
from delt_exp.export.rows import TOKEN_COLUMNS, Rows
from delt_exp.export.source import Ordered
from delt_exp.files import digest, read_json, write_json

BATCH_CHARS = 1 << 24  # of text in memory at once, and in one group of Parquet or Arrow
BATCH_DOCUMENTS = 1000


class OfRecords:
    """What the formats of records share; a subclass names and writes the shards."""

    max_shard_bytes: ClassVar[int | None] = None

    def __init__(self, source: Ordered, *, with_tokens: bool, fields: Fields | None = None) -> None:
        self.rows = Rows(source, with_tokens, fields)
        self.columns = self.rows.columns
        self.sizes = self.rows.sizes

    def finish(self, folder: Path, names: list[str]) -> None:
        """Nothing beside the shards is needed."""


class Jsonl(OfRecords):
    """One JSON object per line, UTF-8 as it is."""

    name: ClassVar[str] = "jsonl"

    def file_name(self, number: int, count: int) -> str:
        return f"train-{number:05d}-of-{count:05d}.jsonl"

    def write(self, path: Path, start: int, stop: int) -> None:
        import orjson  # eight times as fast as `json`, which would take most of the time

        with path.open("wb", buffering=1 << 20) as file:
            for record in self.rows.read(start, stop):
                file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))


class Parquet(OfRecords):
    """Parquet with row groups of at most 1,000 documents or 16 million characters."""

    name: ClassVar[str] = "parquet"

    def file_name(self, number: int, count: int) -> str:
        return f"train-{number:05d}-of-{count:05d}.parquet"

    def write(self, path: Path, start: int, stop: int) -> None:
        import pyarrow.parquet as pq

        with pq.ParquetWriter(path, _schema(self.columns)) as writer:
            for batch in _batches(self.rows.read(start, stop), self.columns):
                writer.write_batch(batch)


class HuggingFace(OfRecords):
    """A folder for `datasets.load_from_disk`: Arrow streams, and two files that `datasets` itself writes."""

    name: ClassVar[str] = "hf"

    def file_name(self, number: int, count: int) -> str:
        return f"data-{number:05d}-of-{count:05d}.arrow"

    def write(self, path: Path, start: int, stop: int) -> None:
        import pyarrow as pa

        schema = _schema(self.columns)
        with path.open("wb", buffering=1 << 20) as file, pa.ipc.new_stream(file, schema) as writer:
            for batch in _batches(self.rows.read(start, stop), self.columns):
                writer.write_batch(batch)

    def finish(self, folder: Path, names: list[str]) -> None:
        import datasets

        # Of an empty dataset with these columns the library writes both files; only the names of the shards are ours.
        bars_hidden = datasets.are_progress_bars_disabled()
        datasets.disable_progress_bars()
        datasets.Dataset(_schema(self.columns).empty_table()).save_to_disk(folder / "columns")
        if not bars_hidden:
            datasets.enable_progress_bars()
        state = read_json(folder / "columns" / "state.json")
        source = self.rows.source  # `datasets` caches what is made of a dataset by its fingerprint
        fingerprint = digest(source.order_digest, source.tokens.digest, self.columns, source.scores)
        write_json(
            folder / "state.json",
            {**state, "_data_files": [{"filename": name} for name in names], "_fingerprint": fingerprint},
        )
        (folder / "columns" / "dataset_info.json").replace(folder / "dataset_info.json")
        for file in (folder / "columns").iterdir():
            file.unlink()
        (folder / "columns").rmdir()


def _schema(columns: Iterable[str]) -> Any:
    import pyarrow as pa

    messages = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    types = {"position": pa.int64(), "score": pa.float32(), "messages": messages}
    types |= dict.fromkeys(TOKEN_COLUMNS, pa.list_(pa.int32()))
    return pa.schema([(name, types.get(name, pa.string())) for name in columns])


def _batches(records: Iterator[dict[str, Any]], columns: tuple[str, ...]) -> Iterator[Any]:
    import pyarrow as pa

    schema = _schema(columns)
    for batch in _grouped(records):
        yield pa.RecordBatch.from_pylist(batch, schema=schema)


def _grouped(records: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    chars = 0
    for record in records:
        batch.append(record)
        chars += sum(len(record.get(name, "")) for name in ("prompt", "text", "rejected", "fields"))
        chars += sum(len(turn["content"]) for turn in record.get("messages", ()))
        if chars >= BATCH_CHARS or len(batch) == BATCH_DOCUMENTS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch
