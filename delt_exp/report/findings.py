"""What a page of results is made of: an answer, figures and tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from delt_exp.quantity import Direction, Ranged
from delt_exp.statistics.families import Comparison


@dataclass(frozen=True)
class Difference(Ranged):
    """A `Ranged` that a page shows with its sign and on a strip around 0; `verdict` as of a `Comparison`."""

    better: Direction
    verdict: str

    @classmethod
    def of(cls, pair: Comparison | None) -> "Difference | None":
        """Return the difference of a comparison; None for None."""
        return None if pair is None else cls(pair.estimate.value, *pair.interval, pair.better, pair.verdict)

    @property
    def is_clear(self) -> bool:
        """Whether its verdict, corrected for all comparisons, is better or worse."""
        return not self.verdict.startswith("not")


Cell = str | float | int | Ranged | None
"""A `Ranged` is one cell on the page, three columns in a CSV file."""


@dataclass(frozen=True)
class Table:
    """Named columns and rows; `name` is that of its files, `note` says how to read it.

    part: of the page, as in `Figure`. folded: whether the page opens with the table closed, for detail. is_answer:
    whether it has the verdicts that the answer rests on, and stands above its figure.
    """

    name: str
    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    part: str = ""
    folded: bool = False
    is_answer: bool = False


@dataclass(frozen=True)
class Figure:
    """An interactive picture: `data` and `layout` of Plotly, as plain values.

    It stands above the table of the same name. part: heading of a part of the page, such as a corpus; empty for none.
    """

    name: str
    title: str
    note: str
    spec: Mapping[str, Any]
    part: str = ""


@dataclass(frozen=True)
class Findings:
    """What a report says: the answer, figures and tables, in the order of the page.

    answer: plain sentences; the first line answers the question of the study, the others say more.
    """

    answer: str
    figures: Sequence[Figure]
    tables: Sequence[Table]

    @property
    def headline(self) -> str:
        """The first line of the answer."""
        return self.answer.partition("\n")[0]

    @property
    def details(self) -> list[str]:
        """The other lines of the answer."""
        return self.answer.split("\n")[1:]
