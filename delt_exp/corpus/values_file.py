"""Columns of files that name documents and give each a number or a label."""

import csv
import json
from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.dataset.files import lines
from delt_exp.dataset.json_records import json_records
from delt_exp.dataset.record_path import steps_of, value_at
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


def column_names(file: Path) -> list[str]:
    """Return the columns of a Parquet file; raises DataError for one that is none."""
    return list(_schema(file).names)


def read_columns(
    file: Path, by: Key, column: str, key: str | None = None
) -> tuple[NDArray[Any] | None, NDArray[np.float64]]:
    """Return the keys, ids as uint64 or rows as int64, and the numbers of a column, NaN where it has none.

    column: its name, or `scores[clean][score]` for a value inside another. key: the column of the keys; None for one
    that is called as `by` says, without which the keys of rows are None. Raises DataError for a column that there is
    not, for an id that is none, and for a value that is no number, each with its place.
    """
    if _is_parquet(file):
        keys, values = _parquet_columns(file, by, column, key)
        return keys, _parquet_numbers(values, file, column)
    numbers = array("d")
    keys = _record_keys(file, by, column, key, lambda value, place: numbers.append(_number(value, column, place)))
    return keys, np.array(numbers, np.float64)


def read_labels(file: Path, by: Key, column: str) -> tuple[NDArray[Any] | None, list[str]]:
    """Return the keys as `read_columns` does, and the labels of a column; raises DataError for a missing one."""
    labels: list[str] = []
    if not _is_parquet(file):
        keys = _record_keys(file, by, column, None, lambda value, place: labels.append(_label(value, column, place)))
        return keys, labels
    keys, values = _parquet_columns(file, by, column, None)
    return keys, [_label(value, column, f"{file}, record {n}") for n, value in enumerate(values.to_pylist(), start=1)]


def _record_keys(
    file: Path, by: Key, column: str, key: str | None, take: Callable[[Any, str], None]
) -> NDArray[Any] | None:
    """Return the keys of all records and hand each value with its place to `take`."""
    keys: list[Any] = []
    name, is_needed = key or by, by == "id" or key is not None
    for number, (record, place) in enumerate(_records(file)):
        value = _value(record, column, place)
        if is_needed and name not in record:
            raise _no_column(place, name, list(record))
        if number and (name in record) != bool(keys):
            raise DataError(f"{place}: only some records have a {name}; give one in each, or in none")
        if name in record:
            keys.append(record[name])
        take(value, place)
    return _keys(keys, by, name, file) if keys else None


def _value(record: Mapping[str, Any], column: str, place: str) -> Any:
    """Return the value of a column, or the one that its name leads to inside another."""
    if column in record:
        return record[column]
    try:
        return value_at(record, steps_of(column) or [column])
    except LookupError as error:
        raise _no_column(place, column, list(record)) from error


def _is_parquet(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(4) == b"PAR1"


def _schema(file: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(file)
    except pa.ArrowException as error:
        said = str(error).splitlines()[0]
        raise DataError(f"{file} cannot be read as Parquet ({said}); write it again") from error


def _records(file: Path) -> Iterator[tuple[Mapping[str, Any], str]]:
    if file.suffix.lower() not in DELIMITERS:
        yield from json_records(file)
        return
    reader = csv.DictReader((line for _, line in lines(file)), delimiter=DELIMITERS[file.suffix.lower()])
    for record in reader:
        yield record, f"{file}:{reader.line_num}"


def _parquet_columns(file: Path, by: Key, column: str, key: str | None) -> tuple[NDArray[Any] | None, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    present, name = _schema(file).names, key or by
    outer = column if column in present else (steps_of(column) or [column])[0]
    has_keys = by == "id" or key is not None or name in present
    for needed, said in ((outer, column), *([(name, name)] if has_keys else [])):
        if needed not in present:
            raise _no_column(str(file), said, present)
    table = pq.ParquetFile(file).read([outer, *([name] if has_keys else [])])
    values = table[outer] if outer == column else _inner(table[outer], outer, column, file)
    if not has_keys:
        return None, values
    keys = table[name].combine_chunks()
    if pa.types.is_integer(keys.type) and not keys.null_count:
        return keys.to_numpy(zero_copy_only=False).astype(np.uint64 if by == "id" else np.int64), values
    return _keys(keys.to_pylist(), by, name, file), values


def _inner(values: Any, outer: str, column: str, file: Path) -> Any:
    """Return the values that the name of a column leads to, inside those of its outer column."""
    import pyarrow as pa

    places = ((value, f"{file}, record {n}") for n, value in enumerate(values.to_pylist(), start=1))
    return pa.chunked_array([pa.array([_value({outer: value}, column, place) for value, place in places])])


def _parquet_numbers(values: Any, file: Path, column: str) -> NDArray[np.float64]:
    import pyarrow as pa

    try:
        numbers: NDArray[np.float64] = values.cast(pa.float64()).combine_chunks().to_numpy(zero_copy_only=False)
    except pa.ArrowException as error:
        raise DataError(f"{file}: the column {column!r} is {values.type}, not numbers") from error
    return numbers


def _keys(values: list[Any], by: Key, name: str, file: Path) -> NDArray[Any]:
    """Return ids or rows. Ids as text are all hexadecimal, 16 digits as in messages, where one is no decimal number.

    A float is no id: it holds 53 of 64 bits.
    """
    is_hex = by == "id" and any(isinstance(value, str) and not value.isdecimal() for value in values)
    numbers = [None if by == "id" and isinstance(value, float) else _whole(value, is_hex) for value in values]
    bad = next((place for place, number in enumerate(numbers) if number is None or not 0 <= number < 2**64), None)
    if bad is not None:
        what = "the 64-bit content hash of a document, as a whole number or text" if by == "id" else "a row from 0"
        raise DataError(f"{file}: {name}={values[bad]!r} in record {bad + 1} is not {what}")
    return np.array(numbers, np.uint64 if by == "id" else np.int64)


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


def _label(value: Any, column: str, place: str) -> str:
    if value is None or value == "":
        raise DataError(f"{place}: {column} is empty; give every document a label, or leave it out of the file")
    return str(value)


def _no_column(place: str, name: str, present: list[str]) -> DataError:
    return DataError(
        f"{place}: there is no column {name!r}; it has {', '.join(present) or 'none'}; set scorer.column to "
        "the one that is meant, and scorer.by=row where documents are named by nothing but their order"
    )
