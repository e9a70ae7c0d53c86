"""Which of several experiments is better, document by document, as `python -m delt_exp.compare` says it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delt_exp.compare.answers import Choice
from delt_exp.compare.arms import Read, read_named
from delt_exp.compare.verdicts import Verdict, verdicts
from delt_exp.compare.words import sentences
from delt_exp.errors import ConfigError
from delt_exp.notebook.experiment import Experiment

if TYPE_CHECKING:
    import pandas as pd

Result = Experiment | str | os.PathLike[str]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Every result against the baseline at level `alpha`; its text is the answer in sentences."""

    read: Read
    verdicts: Sequence[Verdict]
    alpha: float

    @property
    def table(self) -> "pd.DataFrame":
        """One row per result and evaluation set: the verdict, the difference from the baseline and its interval."""
        import pandas as pd

        return pd.DataFrame([_row(one) for one in self.verdicts])

    @property
    def sentences(self) -> list[str]:
        """The verdicts in words, and what the intervals do not cover."""
        names = [arm.name for arm in self.read.arms[1:]]
        return [*sentences(names, self.verdicts, self.alpha), *(f"Note: {note}" for note in self.read.notes)]

    def __repr__(self) -> str:
        return "\n".join(self.sentences)

    def _repr_html_(self) -> str:
        return f"<div>{''.join(f'<p>{escape(said)}</p>' for said in self.sentences)}{self.table.to_html()}</div>"


def _row(one: Verdict) -> dict[str, Any]:
    pair = one.comparison
    low, high = pair.interval
    return {
        "dataset": one.label,
        "result": pair.first,
        "verdict": one.word,
        "difference": pair.estimate.value,
        "low": low,
        "high": high,
        "unit": pair.unit,
        "p_holm": pair.p_holm,
        "value": one.values[0],
        "baseline": one.values[1],
        "documents": one.num_items,
        "seeds": len(one.seeds),
    }


def verdict(
    baseline: Result | Sequence[Result],
    *results: Result | Sequence[Result],
    names: Sequence[str] | None = None,
    alpha: float = 0.05,
) -> Comparison:
    """Return how experiments compare with the first, by the losses on every evaluation document; trains if needed.

    A result is an experiment, the folder of a run or of lm-eval, or a list of these that differ in their seed alone.
    names: of all of them, in their order. Raises ConfigError or DataError for results that did not answer the same
    questions, and what training raises.
    """
    if not 0 < alpha < 1:
        raise ConfigError(f"alpha={alpha!r} is not allowed; it must lie between 0 and 1")
    paths = [_paths(one) for one in (baseline, *results)]
    if names is not None and len(names) != len(paths):
        raise ConfigError(
            f"names={list(names)!r} names {len(names)} of {len(paths)} results; name all of them, or none"
        )
    called: Sequence[str | None] = names or [None] * len(paths)
    read = read_named(list(zip(called, paths, strict=True)), Choice())
    return Comparison(read, verdicts(read, alpha), alpha)


def _paths(result: Result | Sequence[Result]) -> list[Path]:
    if isinstance(result, Experiment):
        return [result.train().folder]
    if isinstance(result, str | os.PathLike):
        return [Path(result).expanduser()]
    return [path for one in result for path in _paths(one)]
