"""A table with one row per answer: item and value, and where there are several, seed, task, weight.

CSV (first line: names), JSONL or Parquet.
"""

from pathlib import Path
from typing import Any

import numpy as np

from delt_exp.compare.answers import Answers, Choice, ReadResults, by_item, chosen_tasks
from delt_exp.errors import DataError

SUFFIXES = (".csv", ".jsonl", ".parquet")
NUMBERS = ("value", "weight")
COLUMNS = {
    "item": "the name of the item",
    "value": "the number",
    "seed": "of the training run",
    "task": "what the item belongs to",
    "weight": "tokens or words of the item, over which values are means",
}


def read_table(path: Path, choice: Choice) -> ReadResults:
    """Return the values by seed and task; raises DataError for columns or entries that are missing."""
    table = _columns(path, choice)
    better = choice.direction(None, str(path))
    rows = len(table["item"])
    task_R, seed_R = table.get("task", np.full(rows, "items")), table.get("seed")
    seeds: list[Any] = [None] if seed_R is None else sorted(set(seed_R.tolist()))
    names = list(dict.fromkeys(task_R.tolist()))
    by_seed = {}
    for seed in seeds:
        is_seed_R = np.full(rows, True) if seed_R is None else seed_R == seed
        present = [name for name in names if (is_seed_R & (task_R == name)).any()]
        by_seed[seed] = {
            name: _answers(path, table, is_seed_R & (task_R == name), choice, better)
            for name in chosen_tasks(path, present, {}, choice.tasks)
        }
    used = {*COLUMNS, choice.cluster}
    others = [name for name in table if name not in used]
    return ReadResults(by_seed, {}, [f"{path.name}: columns ignored: {', '.join(others)}."] if others else [])


def _answers(path: Path, table: dict[str, Any], here_R: Any, choice: Choice, better: Any) -> Answers:
    part = {name: column[here_R] for name, column in table.items()}
    sizes = np.asarray(part.get("weight", np.ones(int(here_R.sum()))), np.float64)
    if (sizes < 0).any():
        item, weight = part["item"][sizes < 0][0], sizes[sizes < 0][0]
        raise DataError(f"{path}: weight of item {item!r} is {weight:g}; weights are 0 or more")
    labels = {"cluster": part[choice.cluster]} if choice.cluster else {}
    columns = by_item(path, part["item"], np.asarray(part["value"], np.float64) * sizes, sizes, labels)
    return Answers("value", "value", better, **columns)


def _columns(path: Path, choice: Choice) -> dict[str, Any]:
    table = read_columns(path)
    missing = [
        name
        for name in ("item", "value", *([choice.cluster] if choice.cluster else []))
        if name not in table.column_names
    ]
    if missing:
        meant = "; ".join(f"{name}: {what}" for name, what in COLUMNS.items())
        raise DataError(
            f"{path} has the columns {', '.join(table.column_names)}, and {missing[0]} is missing ({meant}); rename "
            "a column. Samples of lm-eval are given as their folder"
        )
    known = [name for name in table.column_names if name in COLUMNS or name == choice.cluster]
    for name in known:
        _check(path, name, table[name])
    columns = {name: table[name].to_numpy() for name in table.column_names}
    return columns | {name: columns[name].astype(np.str_).astype(object) for name in ("item", "task") if name in known}


def _check(path: Path, name: str, column: Any) -> None:
    """Raise DataError for empty entries, and where numbers are needed for anything else."""
    import pyarrow as pa

    kind, empty = column.type, column.null_count
    if pa.types.is_string(kind):
        empty += column.to_pylist().count("")
    if empty:
        raise DataError(f"{path}: column {name} has {empty} empty entries; fill them, no row is skipped")
    if name in NUMBERS and not any(
        is_kind(kind) for is_kind in (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    ):
        raise DataError(f"{path}: column {name} holds {kind}; it must hold numbers")


def read_columns(path: Path) -> Any:
    """Return the `pyarrow.Table` of a file with rows, whatever its columns; raises DataError for any other."""
    import pyarrow as pa

    if not path.is_file() or path.suffix not in SUFFIXES:
        wrong = "is a folder" if path.is_dir() else "is no table" if path.exists() else "does not exist"
        raise DataError(f"{path} {wrong}; give a table ({', '.join(SUFFIXES)})")
    try:
        table = _read(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    names = table.column_names
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{path} has two columns {twice[0]}; rename one of them")
    if path.suffix != ".parquet" and (other := [name for name in names if pa.types.is_binary(table[name].type)]):
        raise DataError(
            f"{path}: column {other[0]} is not UTF-8; convert the file, with 'iconv -f latin1 -t utf-8' say"
        )
    if not table.num_rows:
        raise DataError(f"{path} has the columns {', '.join(names)} and no row below them; add the results")
    return table


def _read(path: Path) -> Any:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return pq.read_table(path)
    if path.suffix == ".csv":
        from pyarrow import csv

        return csv.read_csv(path)
    from pyarrow import json

    return json.read_json(path)
