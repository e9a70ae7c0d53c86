"""Writes an export shard by shard, so that a killed one continues, and renames it when it is complete."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import DataError
from delt_exp.export.card import card, readme
from delt_exp.export.fields import Fields, read_fields
from delt_exp.export.formats import FORMATS, Format
from delt_exp.export.source import Ordered
from delt_exp.files import digest, disk_errors, file_sha256, locked, read_json, write_json, written_aside
from delt_exp.progress import say, track

CARD = "export.json"
REQUEST = ".request.json"


def export(
    source: Ordered, to: str, out: Path, *, shard_bytes: int, with_tokens: bool, with_fields: bool = False
) -> dict[str, Any]:
    """Write the documents to the folder `out` and return its card; what is there already is not written again.

    with_fields: their original records too, see `read_fields`. Raises DataError where `out` holds anything else.
    """
    out = out.absolute()
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with locked(out, f"another process writes {out}; waiting for it"), _fields(source, out, with_fields) as fields:
            form: Format = FORMATS[to](source, with_tokens=with_tokens, fields=fields)
            request = _request(source, form, shard_bytes)
            if not _is_there(out, request):
                _write(source, form, out, request)
    found: dict[str, Any] = read_json(out / CARD)
    return found


@contextmanager
def _fields(source: Ordered, out: Path, with_fields: bool) -> Iterator[Fields | None]:
    path = out.with_name(f".{out.name}.fields")
    try:
        yield read_fields(source, path) if with_fields else None
    finally:
        path.unlink(missing_ok=True)


def _request(source: Ordered, form: Format, shard_bytes: int) -> dict[str, Any]:
    return {
        "format": form.name,
        "order_digest": source.order_digest,
        "corpus_digest": source.corpus.digest,
        "tokens_digest": source.tokens.digest,
        "scores_digest": digest(source.scores),  # another scorer can lead to the same order
        "columns": list(form.columns),
        "shard_bytes": shard_bytes,
    }


def _is_there(out: Path, request: dict[str, Any]) -> bool:
    if not out.exists():
        return False
    card = read_json(out / CARD) if (out / CARD).exists() else {}
    if any(card.get(key) != value for key, value in request.items()):
        raise DataError(f"{out} holds something else; give another folder, or remove it")
    return True


def _write(source: Ordered, form: Format, out: Path, request: dict[str, Any]) -> None:
    work = out.with_name(f".{out.name}.work")
    if work.exists() and (not (work / REQUEST).exists() or read_json(work / REQUEST) != request):
        say(f"{work} was left by another export and is removed")
        shutil.rmtree(work)
    work.mkdir(exist_ok=True)
    write_json(work / REQUEST, request)
    bounds = shard_bounds(form.sizes, request["shard_bytes"])
    names = [form.file_name(number, len(bounds)) for number in range(len(bounds))]
    with track("exporting", len(source), "documents") as task:
        for name, (start, stop) in zip(names, bounds, strict=True):
            if not (work / name).exists():
                _write_shard(form, work / name, start, stop)
            task.advance(stop - start)
    form.finish(work, names)
    if form.name == "bin" or "input_ids" in form.columns:
        shutil.copytree(source.tokenizer_folder, work / "tokenizer", dirs_exist_ok=True)
        (work / "tokenizer" / "entry.json").unlink(missing_ok=True)
    shards = [_shard(work / name, *bound) for name, bound in zip(names, bounds, strict=True)]
    facts = {**card(source), **request, "shards": shards}
    write_json(work / CARD, facts)
    (work / "README.md").write_text(readme(facts), encoding="utf-8")
    (work / REQUEST).unlink()
    work.rename(out)


def _write_shard(form: Format, path: Path, start: int, stop: int) -> None:
    with written_aside(path) as aside:
        form.write(aside, start, stop)
        with aside.open("rb") as file:  # a name that is there after a crash of the machine must mean a whole shard
            os.fsync(file.fileno())


def _shard(path: Path, start: int, stop: int) -> dict[str, Any]:
    return {
        "file": path.name,
        "first_position": start,
        "documents": stop - start,
        "bytes": path.stat().st_size,
        "sha256": file_sha256(path),
    }


def shard_bounds(sizes: NDArray[np.int64], shard_bytes: int) -> list[tuple[int, int]]:
    """Return (start, stop) of each shard: as many documents as fit into `shard_bytes`, at least one."""
    ends = np.cumsum(sizes)
    bounds, start, before = [], 0, 0
    while start < len(sizes):
        stop = max(int(np.searchsorted(ends, before + shard_bytes, side="right")), start + 1)
        bounds.append((start, stop))
        start, before = stop, int(ends[stop - 1])
    return bounds
