"""Selectors that look at documents, not only at their scores: what they promise, and what they may look at."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.proxy.base import ProxyModel
from delt_exp.resources import Resources
from delt_exp.rows.candidates import Candidates
from delt_exp.selector import Selector
from delt_exp.store.evidence import Evidence

Show = Callable[[Evidence], None]


@dataclass(frozen=True, eq=False)
class Reading:
    """What a selector may look at.

    seen: `candidates` with their goodness. target: None unless the selector needs it. trained: from documents, the
    candidates or others in their rows, and rows of them to the model of this run, had it kept these alone; it is
    trained once, as a stage that other runs reuse.
    """

    candidates: TokenizedCorpus
    target: TokenizedCorpus | None
    resources: Resources
    seen: Candidates
    trained: Callable[[TokenizedCorpus, NDArray[np.intp]], ProxyModel]


@dataclass(frozen=True, eq=False)
class Selection:
    """What a selector that reads documents has kept.

    rows: ascending; the order of the rows decides nothing. documents: what is trained on in these rows, the candidates
    themselves unless the selector has others written in their place. show: leaves what a reader should see of the
    choice.
    """

    rows: NDArray[np.intp]
    documents: TokenizedCorpus
    show: Show = field(default=lambda evidence: None)


@runtime_checkable
class ReadingSelector(Protocol):
    """A selector that reads documents; fields of an implementation are the keys of its YAML file.

    What it computes of the documents, features say, is a stage, so that a killed run continues and another one reuses.
    """

    @property
    def needs(self) -> frozenset[str]:
        """`target` where the selection depends on the target set, `scores` where it does on goodness."""

    def check(self, candidates: TokenizedCorpus) -> None:
        """Raise DeltError for documents that it cannot select from; computes nothing."""

    def count(self, num_candidates: int) -> int:
        """Return how many documents it keeps; raises ConfigError where the settings do not fit."""

    def select(self, reading: Reading) -> Selection:
        """Return what is kept."""

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of every phase; reads no text."""


def would_keep(selector: Selector | ReadingSelector, seen: Candidates) -> NDArray[np.intp]:
    """Return as many rows as a selector keeps; without reading documents, so that they may be others."""
    if isinstance(selector, ReadingSelector):
        return np.arange(selector.count(len(seen)))
    return selector(seen)


def needs_of(selector: Selector | ReadingSelector) -> frozenset[str]:
    """Return what a selector needs, `scores` among it."""
    if isinstance(selector, ReadingSelector):
        return selector.needs
    function = selector.func if isinstance(selector, partial) else selector
    return getattr(function, "needs", frozenset({"scores"}))
