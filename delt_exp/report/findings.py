"""What a page of results is made of: an answer, figures and tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from delt_exp.quantity import Ranged

Cell = str | float | int | Ranged | None
"""A `Ranged` is one cell on the page, three columns in a CSV file."""


@dataclass(frozen=True)
class Table:
    """Named columns and rows; `name` is that of its files, `note` says how to read it."""

    name: str
    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Figure:
    """An interactive picture: `data` and `layout` of Plotly, as plain values."""

    name: str
    title: str
    note: str
    spec: Mapping[str, Any]


@dataclass(frozen=True)
class Findings:
    """What a report says: the answer in plain sentences, figures and tables, in the order of the page."""

    answer: str
    figures: Sequence[Figure]
    tables: Sequence[Table]
