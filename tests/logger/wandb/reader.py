"""Reads the transaction file of an offline W&B run: LevelDB's log format after a header of seven bytes.

A block has 32 KiB; a record lies in one chunk (type 1) or in a first, middles and a last (types 2, 3, 4). Each chunk
starts with CRC-32 of type and data (4 bytes), length (2) and type (1), little-endian; fewer than seven bytes at the
end of a block are padding.
"""

import json
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK_BYTES = 32 * 1024
HEADER = struct.Struct("<4sHB")
CHUNK = struct.Struct("<IHB")
WHOLE, FIRST, LAST = 1, 2, 4


@dataclass
class OfflineRun:
    """What W&B would be told on `wandb sync`; `metrics`: name or glob -> definition, `artifacts`: type -> record."""

    run: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, Any] = field(default_factory=dict)
    saved_files: list[str] = field(default_factory=list)
    exit_code: int | None = None


def chunks(raw: bytes) -> Iterator[tuple[int, bytes]]:
    magic, number, _ = HEADER.unpack_from(raw)
    assert (magic, number) == (b":W&B", 0xBEE1), "not a W&B transaction file"
    place = HEADER.size
    while place + CHUNK.size <= len(raw):
        if (left := BLOCK_BYTES - place % BLOCK_BYTES) < CHUNK.size:
            place += left
            continue
        checksum, length, kind = CHUNK.unpack_from(raw, place)
        data = raw[place + CHUNK.size : place + CHUNK.size + length]
        assert zlib.crc32(bytes([kind]) + data) == checksum, f"damaged at byte {place}"
        yield kind, data
        place += CHUNK.size + length


def records(raw: bytes) -> Iterator[Any]:
    parts: list[bytes] = []
    for kind, data in chunks(raw):
        parts = [data] if kind in (WHOLE, FIRST) else [*parts, data]
        if kind in (WHOLE, LAST):
            yield Record.FromString(b"".join(parts))


def values(items: Iterable[Any]) -> dict[str, Any]:
    """Return items as a dict; nested keys are joined by dots."""
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def read_offline_run(run_folder: Path) -> OfflineRun:
    """Read the only offline run below a run folder.

    `wandb.teardown()` must come before where the run was logged by this process: `finish` returns before the file is
    written to its end.
    """
    (file,) = run_folder.glob("wandb/offline-run-*/*.wandb")
    result = OfflineRun()
    for record in records(file.read_bytes()):
        match record.WhichOneof("record_type"):
            case "run":
                result.run = record.run
                result.config |= values(record.run.config.update)
            case "config":
                result.config |= values(record.config.update)
            case "history":
                result.history.append(values(record.history.item))
            case "summary":
                result.summary |= values(record.summary.update)
            case "metric":
                result.metrics[record.metric.name or record.metric.glob_name] = record.metric
            case "artifact":
                result.artifacts[record.artifact.type] = record.artifact
            case "files":
                result.saved_files += [item.path for item in record.files.files]
            case "exit":
                result.exit_code = record.exit.exit_code
    return result
