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
from delt_exp.tokenizer.base import Tokenizer

Show = Callable[[Evidence], None]


@dataclass(frozen=True, eq=False)
class Reading:
    """What a selector may look at.

    seen: `candidates` with their goodness. target: None unless the selector needs it. trained: a function of documents
    (the candidates, or others in the same rows) and of some rows, which returns the model that this run would train on
    these rows alone; it is trained once, as a stage that other runs reuse.
    """

    candidates: TokenizedCorpus
    target: TokenizedCorpus | None
    resources: Resources
    seen: Candidates
    trained: Callable[[TokenizedCorpus, NDArray[np.intp]], ProxyModel]


@dataclass(frozen=True, eq=False)
class Selection:
    """What a selector that reads documents has kept.

    rows: ascending. documents: what is trained on in these rows: the candidates, unless the selector has had others
    written in their place. show: leaves evidence of the choice.
    """

    rows: NDArray[np.intp]
    documents: TokenizedCorpus
    show: Show = field(default=lambda evidence: None)


@runtime_checkable
class ReadingSelector(Protocol):
    """A selector that reads documents; fields of an implementation are the keys of its YAML file.

    What it computes from documents, such as features, is a stage: a killed run continues, and other runs reuse it.
    """

    @property
    def needs(self) -> frozenset[str]:
        """`target` where the selection depends on the target set, `scores` where it does on goodness."""

    def check(self, candidates: TokenizedCorpus, tokenizer: Tokenizer) -> None:
        """Raise DeltError for documents that it cannot select from, and for unfit settings; computes nothing.

        tokenizer: that of the run.
        """

    def count(self, num_candidates: int) -> int:
        """Return how many documents it keeps; raises ConfigError where the settings do not fit."""

    def select(self, reading: Reading) -> Selection:
        """Return what is kept."""

    def training_sizes(self) -> list[int]:
        """Return how many documents each of the training runs that it asks for learns from."""

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of every phase but those training runs; reads no text."""


def would_keep(selector: Selector | ReadingSelector, seen: Candidates) -> NDArray[np.intp]:
    """Return as many rows as a selector keeps. Documents are not read: where a selector reads them, it keeps others."""
    if isinstance(selector, ReadingSelector):
        return np.arange(selector.count(len(seen)))
    return selector(seen)


def needs_of(selector: Selector | ReadingSelector) -> frozenset[str]:
    """Return what a selector needs, `scores` among it."""
    if isinstance(selector, ReadingSelector):
        return selector.needs
    function = selector.func if isinstance(selector, partial) else selector
    return getattr(function, "needs", frozenset({"scores"}))
