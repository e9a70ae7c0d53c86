"""What the report of a study promises."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from delt_exp.quantity import Ranged

if TYPE_CHECKING:
    from delt_exp.study.record import StudyRecord


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
    """What a report found: the answer in plain sentences, figures and tables, in the order of the page."""

    answer: str
    figures: Sequence[Figure]
    tables: Sequence[Table]


class StudyReport(Protocol):
    """Turns the finished runs of a study into findings; fields of an implementation are keys of the study's YAML."""

    def findings(self, study: "StudyRecord") -> Findings:
        """Return what the finished runs say; raises DataError when they are too few to say anything."""
