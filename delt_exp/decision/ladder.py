"""The outcomes of the same arms at several sizes, and the tables that hold them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from delt_exp.compare.table_file import read_columns
from delt_exp.errors import ConfigError, DataError

Runs = Mapping[str, Mapping[str, float]]
"""The outcome of every training run, by arm, then seed."""
Ladder = Mapping[str, Mapping[str, Runs]]
"""`Runs` by metric, then size."""

NAMED = 3  # arms in a message
UNITS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a table. is_wide: every column but these is a metric of its own."""

    arm: str = "arm"
    size: str = "size"
    seed: str = "seed"
    outcome: str = "outcome"
    metric: str = "metric"
    is_wide: bool = False


def number(size: str) -> float | None:
    """Return the number that a size such as `60M`, `0.4 M` or `1e6` says; None where it says none."""
    found = re.fullmatch(r"\s*(\d+\.?\d*(?:e[+-]?\d+)?)\s*([kmbgt]?)\s*", size.lower())
    return float(found[1]) * UNITS[found[2]] if found else None


def read_ladder(words: Sequence[str], columns: Columns) -> Ladder:
    """Return the outcomes of tables `[SIZE=]PATH`; SIZE for one without a column of sizes.

    Raises DataError for missing columns, entries that are no numbers, and two outcomes of one run; ConfigError for a
    table that is given twice.
    """
    if twice := [word for number, word in enumerate(words) if word in words[:number]]:
        raise ConfigError(f"{twice[0]} is given twice; give every table once")
    ladder: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for word in words:
        size, path = sized_path(word)
        for metric, at, arm, seed, value in _rows(path, size, columns):
            runs = ladder.setdefault(metric, {}).setdefault(at, {}).setdefault(arm, {})
            if seed in runs:
                raise DataError(
                    f"{path}: arm {arm}, size {at}, seed {seed} has two outcomes of {metric}; keep one, or tell "
                    "training runs apart by a column of seeds (--seed COLUMN)"
                )
            runs[seed] = value
    return ladder


def sized_path(word: str) -> tuple[str, Path]:
    """Return size, empty for none, and path of [SIZE=]PATH; a path that exists, or follows a size, may hold `=`."""
    size, has_size, path = word.partition("=")
    return (size, Path(path)) if has_size and not Path(word).exists() else ("", Path(word))


def check_ladder(ladder: Ladder, large: str) -> None:
    """Raise ConfigError for a size that is not there, and DataError for one size alone, or arms that sizes lack."""
    for metric, by_size in ladder.items():
        if large not in by_size:
            raise ConfigError(f"--large {large!r}: {metric} has the sizes {', '.join(by_size)}; name one of them")
        if len(by_size) < 2:
            raise DataError(f"{metric} has the size {large} only; add outcomes of the same arms at a smaller one")
        for size, runs in by_size.items():
            for here, there in ((size, large), (large, size)):
                missing = sorted(set(by_size[there]) - set(by_size[here]))
                if missing:
                    raise DataError(
                        f"{metric}: {len(missing)} of the {len(by_size[there])} arms at {there} are missing at {here} "
                        f"({', '.join(missing[:NAMED])}{', ...' if len(missing) > NAMED else ''}); decisions need the "
                        "same arms at every size: add them, or leave out their rows"
                    )
            if len(runs) < 3:
                raise DataError(f"{metric}: {len(runs)} arms at {size}; decision accuracy needs 3 or more: add arms")


def _rows(path: Path, size: str, columns: Columns) -> list[tuple[str, str, str, str, float]]:
    """Return metric, size, arm, seed and outcome of every run in a table."""
    table: dict[str, list[Any]] = read_columns(path).to_pydict()
    _check_columns(path, size, columns, list(table))
    arms = _names(path, table, columns.arm)
    sizes = [size] * len(arms) if size else _names(path, table, columns.size)
    seeds = _names(path, table, columns.seed) if columns.seed in table else ["0"] * len(arms)
    if columns.is_wide:
        keys = {columns.arm, columns.size, columns.seed}
        metrics = {name: [name] * len(arms) for name in table if name not in keys}
    else:
        is_named = columns.metric in table
        metrics = {columns.outcome: _names(path, table, columns.metric) if is_named else [columns.outcome] * len(arms)}
    rows = []
    for name, metric in metrics.items():
        rows += list(zip(metric, sizes, arms, seeds, _numbers(path, table, name), strict=True))
    return rows


def _check_columns(path: Path, size: str, columns: Columns, present: Sequence[str]) -> None:
    """Raise DataError for a column that is needed or was named and is not there, and for two sources of sizes."""
    wanted = [columns.arm, *([] if size else [columns.size]), *([] if columns.is_wide else [columns.outcome])]
    if missing := [name for name in wanted if name not in present]:
        raise DataError(
            f"{path} has the columns {', '.join(present)}, and {missing[0]} is missing; name it by --arm, --size or "
            "--outcome, or write a size before the file: SIZE=FILE"
        )
    usual = Columns()
    for option in ("seed", "metric"):  # columns that a table may lack, unless they are asked for
        name = getattr(columns, option)
        if name != getattr(usual, option) and name not in present:
            raise DataError(f"{path} has the columns {', '.join(present)}, and --{option} {name} is none of them")
    if size and columns.size in present:
        raise DataError(
            f"{path} has a column {columns.size}, and {size}= before its name says the size too; leave {size}= out, or "
            "name by --size a column that it does not have"
        )


def _names(path: Path, table: Mapping[str, list[Any]], name: str) -> list[str]:
    if any(value is None or value == "" for value in table[name]):
        raise DataError(f"{path}: column {name} has empty entries; fill them, no row is skipped")
    return [str(value) for value in table[name]]


def _numbers(path: Path, table: Mapping[str, list[Any]], name: str) -> list[float]:
    for row, value in enumerate(table[name], 1):
        if not isinstance(value, int | float) or not np.isfinite(value):
            raise DataError(
                f"{path}: column {name}, row {row} holds {value!r}; every outcome must be a finite number: fill it or "
                "leave the row out (--wide reads all columns as metrics)"
            )
    return [float(value) for value in table[name]]
