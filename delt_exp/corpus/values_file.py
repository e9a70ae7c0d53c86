"""Columns of files that name documents and give each a number or a label."""

import csv
import json
from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.parquet_values import is_parquet, parquet_columns, parquet_numbers, schema_of
from delt_exp.corpus.record_values import Key, checked_keys, key_cure, label_of, no_column, number_of, value_in
from delt_exp.dataset.compression import PACKED
from delt_exp.dataset.files import lines
from delt_exp.dataset.json_records import json_records
from delt_exp.errors import DataError
from delt_exp.quantity import Meaning

DELIMITERS = {".csv": ",", ".tsv": "\t"}


def said_meaning(file: Path) -> Meaning | None:
    """Return what a file says of its numbers; None for one that is no score table of `ScoreTable.save`."""
    if not is_parquet(file):
        return None
    metadata = schema_of(file).metadata or {}
    return Meaning(**json.loads(metadata[b"delt_exp.meaning"])) if b"delt_exp.meaning" in metadata else None


def column_names(file: Path) -> list[str]:
    """Return the columns of a Parquet file; raises DataError for one that is none."""
    return list(schema_of(file).names)


def read_columns(
    file: Path, by: Key, column: str, key: str | None = None
) -> tuple[NDArray[Any] | None, NDArray[np.float64]]:
    """Return the keys, ids as uint64 or rows as int64, and the numbers of a column, NaN where it has none.

    column: its name, or `scores[clean][score]` for a value inside another. key: the column of the keys; None for one
    that is called as `by` says, without which the keys of rows are None. Raises DataError for a column that there is
    not, for an id that is none, and for a value that is no number, each with its place.
    """
    if is_parquet(file):
        keys, values = parquet_columns(file, by, column, key)
        return keys, parquet_numbers(values, file, column)
    numbers = array("d")
    keys = _record_keys(file, by, column, key, lambda value, place: numbers.append(number_of(value, column, place)))
    return keys, np.array(numbers, np.float64)


def read_labels(file: Path, by: Key, column: str) -> tuple[NDArray[Any] | None, list[str]]:
    """Return the keys as `read_columns` does, and the labels of a column; raises DataError for a missing one."""
    labels: list[str] = []
    if not is_parquet(file):
        keys = _record_keys(file, by, column, None, lambda value, place: labels.append(label_of(value, column, place)))
        return keys, labels
    keys, values = parquet_columns(file, by, column, None)
    return keys, [label_of(value, column, f"{file}, record {n}") for n, value in enumerate(values.to_pylist(), start=1)]


def _record_keys(
    file: Path, by: Key, column: str, key: str | None, take: Callable[[Any, str], None]
) -> NDArray[Any] | None:
    """Return the keys of all records and hand each value with its place to `take`."""
    keys: list[Any] = []
    name, is_needed = key or by, by == "id" or key is not None
    for number, (record, place) in enumerate(_records(file)):
        value = value_in(record, column, place)
        if is_needed and name not in record:
            raise no_column(place, name, list(record), key_cure(by, key is not None))
        if number and (name in record) != bool(keys):
            raise DataError(f"{place}: only some records have a {name}; give one in each, or in none")
        if name in record:
            keys.append(record[name])
        take(value, place)
    return checked_keys(keys, by, name, file) if keys else None


def _records(file: Path) -> Iterator[tuple[Mapping[str, Any], str]]:
    kind = Path(file.stem if file.suffix.lower() in PACKED else file.name).suffix.lower()
    if kind not in DELIMITERS:
        yield from json_records(file)
        return
    csv.field_size_limit(2**31 - 1)  # a column of texts may stand beside the values
    reader = csv.DictReader((line for _, line in lines(file)), delimiter=DELIMITERS[kind])
    try:
        for record in reader:
            place = f"{file}:{reader.line_num}"
            if None in record:
                raise DataError(f"{place}: the row has more cells than the header; quote a cell that holds a delimiter")
            yield record, place
    except csv.Error as error:
        raise DataError(
            f"{file}:{reader.line_num}: {error}; write the file anew, or as Parquet or JSON Lines"
        ) from error
