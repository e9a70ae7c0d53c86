"""Reads an export back, in training order."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import DataError
from delt_exp.export.mds import read_mds
from delt_exp.files import file_sha256, read_json


def read_card(folder: Path) -> dict[str, Any]:
    """Return the card of an export; raises DataError for another folder, and for a damaged card."""
    if not (folder / "export.json").exists():
        raise DataError(f"{folder} is not an export: it has no export.json; make one with python -m delt_exp.export")
    card: dict[str, Any] = read_json(folder / "export.json", cure="export again into a new folder")
    return card


def check_shards(folder: Path, card: dict[str, Any]) -> None:
    """Raise DataError where a shard is missing or has another content than was exported."""
    for shard in card["shards"]:
        path = folder / shard["file"]
        if not path.exists() or path.stat().st_size != shard["bytes"] or file_sha256(path) != shard["sha256"]:
            raise DataError(f"{path} is missing or has changed since the export; export again")


def read_records(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the documents of an export of records (every format but `bin`), one in memory at once, or one row group."""
    card = read_card(folder)
    for shard in card["shards"]:
        yield from READERS[card["format"]](folder / shard["file"])


def read_stream(folder: Path) -> NDArray[Any]:
    """Return the token ids of an export of format `bin`, memory-mapped where it is one shard."""
    card = read_card(folder)
    shards = [np.memmap(folder / s["file"], np.dtype(card["dtype"]).newbyteorder("<"), "r") for s in card["shards"]]
    return shards[0] if len(shards) == 1 else np.concatenate(shards)


def _jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        yield from map(json.loads, file)


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(path).iter_batches(batch_size=1000):
        yield from batch.to_pylist()


def _arrow(path: Path) -> Iterator[dict[str, Any]]:
    import pyarrow as pa

    with path.open("rb") as file, pa.ipc.open_stream(file) as batches:
        for batch in batches:
            yield from batch.to_pylist()


READERS = {"jsonl": _jsonl, "parquet": _parquet, "hf": _arrow, "mds": read_mds}
