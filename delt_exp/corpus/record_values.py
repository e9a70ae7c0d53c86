"""Values and keys of single records, checked, with their place in messages."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.dataset.record_path import steps_of, value_at
from delt_exp.errors import DataError

Key = Literal["id", "row"]
COLUMN = "set scorer.column to the one that is meant"


def value_in(record: Mapping[str, Any], column: str, place: str) -> Any:
    """Return the value of a column, or the one that its name leads to inside another."""
    if column in record:
        return record[column]
    try:
        return value_at(record, steps_of(column) or [column])
    except LookupError as error:
        raise no_column(place, column, list(record), COLUMN) from error


def checked_keys(values: list[Any], by: Key, name: str, file: Path) -> NDArray[Any]:
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


def number_of(value: Any, column: str, place: str) -> float:
    """Return a value as a number, NaN for an empty one; raises DataError at `place` for anything else."""
    if value is None or value == "":
        return float("nan")
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    except (TypeError, ValueError) as error:
        raise DataError(f"{place}: {column}={value!r} is not a number") from error


def label_of(value: Any, column: str, place: str) -> str:
    """Return a value as text; raises DataError at `place` for an empty one."""
    if value is None or value == "":
        raise DataError(f"{place}: {column} is empty; give every document a label, or leave it out of the file")
    return str(value)


def no_column(place: str, name: str, present: list[str], cure: str) -> DataError:
    """Return the error for a column that there is not, with those that there are; cure: COLUMN or `key_cure`."""
    return DataError(f"{place}: there is no column {name!r}; it has {', '.join(present) or 'none'}; {cure}")


def key_cure(by: Key, is_chosen: bool) -> str:
    """Return what to do about a missing column of ids or rows; is_chosen: whether the user gave its name."""
    if is_chosen:
        return f"set scorer.key to the one with the {by}s"
    return (
        "name the one with the ids by scorer.key (scorer=table) or call it id, or use scorer.by=row where documents "
        "are named by nothing but their order"
    )
