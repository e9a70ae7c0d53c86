"""Columns of files that name documents and give each a number."""

import csv
import json
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.dataset.files import lines
from delt_exp.dataset.json_records import json_records
from delt_exp.errors import DataError
from delt_exp.quantity import Meaning

DELIMITERS = {".csv": ",", ".tsv": "\t"}
Key = Literal["id", "row"]


def said_meaning(file: Path) -> Meaning | None:
    """Return what a file says of its numbers; None for one that is no score table of `ScoreTable.save`."""
    if not _is_parquet(file):
        return None
    metadata = _schema(file).metadata or {}
    return Meaning(**json.loads(metadata[b"delt_exp.meaning"])) if b"delt_exp.meaning" in metadata else None


def read_columns(file: Path, key: Key, column: str) -> tuple[NDArray[Any] | None, NDArray[np.float64]]:
    """Return the keys, ids as uint64 or rows as int64, and the numbers of a column, NaN where it has none.

    The keys are None for rows of a file without a column `row`. Raises DataError for a column that there is not, for an
    id that is none, and for a value that is no number, each with its place.
    """
    if _is_parquet(file):
        return _parquet_columns(file, key, column)
    keys: list[Any] = []
    numbers = array("d")
    for record, place in _records(file):
        if column not in record or (key == "id" and key not in record):
            raise _no_column(place, column if column not in record else key, list(record))
        if numbers and (key in record) != bool(keys):
            raise DataError(f"{place}: only some records have a {key}; give one in each, or in none")
        if key in record:
            keys.append(record[key])
        numbers.append(_number(record[column], column, place))
    return _keys(keys, key, file) if keys else None, np.array(numbers, np.float64)


def _is_parquet(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(4) == b"PAR1"


def _schema(file: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(file)
    except pa.ArrowException as error:
        raise DataError(f"{file} is damaged ({str(error).splitlines()[0]}); write it again") from error


def _records(file: Path) -> Iterator[tuple[Mapping[str, Any], str]]:
    if file.suffix.lower() not in DELIMITERS:
        yield from json_records(file)
        return
    reader = csv.DictReader((line for _, line in lines(file)), delimiter=DELIMITERS[file.suffix.lower()])
    for record in reader:
        yield record, f"{file}:{reader.line_num}"


def _parquet_columns(file: Path, key: Key, column: str) -> tuple[NDArray[Any] | None, NDArray[np.float64]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    present = _schema(file).names
    needed = [column, *([key] if key == "id" or key in present else [])]
    for name in needed:
        if name not in present:
            raise _no_column(str(file), name, present)
    table = pq.ParquetFile(file).read(needed)
    try:
        numbers = table[column].cast(pa.float64()).combine_chunks().to_numpy(zero_copy_only=False)
    except pa.ArrowException as error:
        raise DataError(f"{file}: the column {column!r} is {table[column].type}, not numbers") from error
    if len(needed) == 1:
        return None, numbers
    keys = table[key].combine_chunks()
    if pa.types.is_integer(keys.type) and not keys.null_count:
        return keys.to_numpy(zero_copy_only=False).astype(np.uint64 if key == "id" else np.int64), numbers
    return _keys(keys.to_pylist(), key, file), numbers


def _keys(values: list[Any], key: Key, file: Path) -> NDArray[Any]:
    """Return ids or rows. Ids as text are all hexadecimal, 16 digits as in messages, where one is no decimal number."""
    is_hex = key == "id" and any(isinstance(value, str) and not value.isdecimal() for value in values)
    numbers = [_whole(value, is_hex) for value in values]
    bad = next((place for place, number in enumerate(numbers) if number is None or not 0 <= number < 2**64), None)
    if bad is not None:
        what = "the 64-bit content hash of a document" if key == "id" else "a row from 0"
        raise DataError(f"{file}: {key}={values[bad]!r} in record {bad + 1} is not {what}")
    return np.array(numbers, np.uint64 if key == "id" else np.int64)


def _whole(value: Any, is_hex: bool) -> int | None:
    try:
        number = int(value, 16 if is_hex else 10) if isinstance(value, str) else int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if isinstance(value, str) or number == value else None


def _number(value: Any, column: str, place: str) -> float:
    if value is None or value == "":
        return float("nan")
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{place}: {column}={value!r} is not a number") from error


def _no_column(place: str, name: str, present: list[str]) -> DataError:
    return DataError(
        f"{place}: there is no column {name!r}; it has {', '.join(present) or 'none'}; set scorer.column to "
        "the one with the scores, and scorer.by=row where documents are named by nothing but their order"
    )
