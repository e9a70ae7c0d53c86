"""Columns of a Parquet file, and values inside its structs."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.record_values import COLUMN, Key, checked_keys, key_cure, no_column, value_in
from delt_exp.dataset.record_path import steps_of
from delt_exp.errors import DataError


def is_parquet(file: Path) -> bool:
    """Whether a file begins as Parquet does, whatever its name."""
    with file.open("rb") as stream:
        return stream.read(4) == b"PAR1"


def schema_of(file: Path) -> Any:
    """Return the schema; raises DataError for a file that is damaged or no Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(file)
    except pa.ArrowException as error:
        said = str(error).splitlines()[0]
        raise DataError(f"{file} cannot be read as Parquet ({said}); write it again") from error


def parquet_columns(file: Path, by: Key, column: str, key: str | None) -> tuple[NDArray[Any] | None, Any]:
    """Return the keys as `read_columns` does, and the values as Arrow; raises DataError for a missing column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    present, name = schema_of(file).names, key or by
    outer = column if column in present else (steps_of(column) or [column])[0]
    has_keys = by == "id" or key is not None or name in present
    keyed = [(name, name, key_cure(by, key is not None))] if has_keys else []
    for needed, said, cure in ((outer, column, COLUMN), *keyed):
        if needed not in present:
            raise no_column(str(file), said, present, cure)
    table = pq.ParquetFile(file).read([outer, *([name] if has_keys else [])])
    values = table[outer] if outer == column else _inner(table[outer], outer, column, file)
    if not has_keys:
        return None, values
    keys = table[name].combine_chunks()
    if pa.types.is_integer(keys.type) and not keys.null_count:
        return keys.to_numpy(zero_copy_only=False).astype(np.uint64 if by == "id" else np.int64), values
    return checked_keys(keys.to_pylist(), by, name, file), values


def _inner(values: Any, outer: str, column: str, file: Path) -> Any:
    """Return the values that the name of a column leads to, inside those of its outer column."""
    import pyarrow as pa

    places = ((value, f"{file}, record {n}") for n, value in enumerate(values.to_pylist(), start=1))
    return pa.chunked_array([pa.array([value_in({outer: value}, column, place) for value, place in places])])


def parquet_numbers(values: Any, file: Path, column: str) -> NDArray[np.float64]:
    """Return Arrow values as numbers, NaN for null; raises DataError where they are no numbers."""
    import pyarrow as pa

    try:
        numbers: NDArray[np.float64] = values.cast(pa.float64()).combine_chunks().to_numpy(zero_copy_only=False)
    except pa.ArrowException as error:
        raise DataError(f"{file}: the column {column!r} is {values.type}, not numbers") from error
    return numbers
