"""MDS, the shards of MosaicML streaming, version 2; written without its library, which installs another torch.

A shard is: the number of samples; where each begins, and where the last ends; the columns as JSON; the samples. A
sample is the sizes of its columns without a fixed size, then all columns. Numbers are uint32, little-endian.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from delt_exp.errors import DataError
from delt_exp.export.records import OfRecords
from delt_exp.export.rows import TOKEN_COLUMNS
from delt_exp.files import read_json, write_json

INDEX = "index.json"
MAX_SHARD_BYTES = (1 << 32) - 1  # places in a shard are uint32
FIXED_BYTES = {"int": 8, "float32": 4}
TYPES = {"position": "int", "score": "float32", "messages": "json", **dict.fromkeys(TOKEN_COLUMNS, "ndarray:int32")}


class Mds(OfRecords):
    """A folder for `streaming.StreamingDataset`. Shards hold at most 4 GiB."""

    name: ClassVar[str] = "mds"
    max_shard_bytes: ClassVar[int | None] = MAX_SHARD_BYTES

    def file_name(self, number: int, count: int) -> str:
        return f"shard.{number:05d}.mds"

    def write(self, path: Path, start: int, stop: int) -> None:
        names = sorted(self.columns)
        encoders = [ENCODERS[_type(name)] for name in names]
        varying = np.array([_type(name) not in FIXED_BYTES for name in names])
        columns = json.dumps(self._columns(), sort_keys=True).encode()
        place, places = 4 + 4 * (stop - start + 1) + len(columns), []
        with path.open("wb", buffering=1 << 20) as file:
            file.seek(place - len(columns))  # places are known when all samples are written
            file.write(columns)
            for record in self.rows.read(start, stop):
                places.append(place)
                values = [encode(record[name]) for name, encode in zip(names, encoders, strict=True)]
                sizes = np.array([len(value) for value in values], "<u4")[varying]
                place += file.write(b"".join([sizes.tobytes(), *values]))
            if place > MAX_SHARD_BYTES:
                raise DataError(
                    f"{path.name} would have {place:,} bytes, and MDS allows 4 GiB: give a smaller --shard-mb"
                )
            file.seek(0)
            file.write(np.array([stop - start, *places, place], "<u4").tobytes())

    def _columns(self) -> dict[str, Any]:
        names = sorted(self.columns)
        return {
            "version": 2,
            "format": "mds",
            "compression": None,
            "hashes": [],
            "size_limit": None,
            "column_names": names,
            "column_encodings": [_type(name) for name in names],
            "column_sizes": [FIXED_BYTES.get(_type(name)) for name in names],
        }

    def finish(self, folder: Path, names: list[str]) -> None:
        """Write the index of the shards."""
        shards = [{**self._columns(), **_facts(folder / name)} for name in names]
        write_json(folder / INDEX, {"version": 2, "shards": shards})


def _type(column: str) -> str:
    return TYPES.get(column, "str")


def _facts(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        (samples,) = np.fromfile(file, "<u4", 1).tolist()
    size = path.stat().st_size
    return {"samples": samples, "raw_data": {"basename": path.name, "bytes": size, "hashes": {}}, "zip_data": None}


def _array(values: list[int]) -> bytes:
    """One dimension (4) plus the log2 of the bytes of its length, the length, the values."""
    width = next(width for width in (0, 1, 2) if len(values) < 1 << (8 << width))
    return bytes([4 + width]) + len(values).to_bytes(1 << width, "little") + np.array(values, "<i4").tobytes()


def _values(data: bytes) -> list[int]:
    return np.frombuffer(data, "<i4", offset=1 + (1 << (data[0] - 4))).tolist()  # type: ignore[no-any-return]


ENCODERS: dict[str, Callable[[Any], bytes]] = {
    "str": str.encode,
    "int": lambda value: np.array(value, "<i8").tobytes(),
    "float32": lambda value: np.array(value, "<f4").tobytes(),
    "json": lambda value: json.dumps(value).encode(),
    "ndarray:int32": _array,
}
DECODERS: dict[str, Callable[[bytes], Any]] = {
    "str": bytes.decode,
    "int": lambda data: np.frombuffer(data, "<i8")[0].item(),
    "float32": lambda data: np.frombuffer(data, "<f4")[0].item(),
    "json": json.loads,
    "ndarray:int32": _values,
}


def read_mds(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the samples of one shard, one in memory at once; columns in alphabetical order."""
    shard = next(s for s in read_json(path.parent / INDEX)["shards"] if s["raw_data"]["basename"] == path.name)
    names, types, fixed = shard["column_names"], shard["column_encodings"], shard["column_sizes"]
    with path.open("rb") as file:
        (samples,) = np.fromfile(file, "<u4", 1).tolist()
        places = np.fromfile(file, "<u4", samples + 1)
        file.seek(int(places[0]))
        for size in np.diff(places.astype(np.int64)).tolist():
            yield dict(zip(names, _split(file.read(size), types, fixed), strict=True))


def _split(sample: bytes, types: list[str], fixed: list[int | None]) -> Iterator[Any]:
    num_varying = fixed.count(None)
    varying = iter(np.frombuffer(sample, "<u4", num_varying).tolist())
    place = 4 * num_varying
    for kind, size in zip(types, fixed, strict=True):
        stop = place + (next(varying) if size is None else size)
        yield DECODERS[kind](sample[place:stop])
        place = stop
