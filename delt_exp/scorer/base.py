"""What a scorer promises, and what it may look at."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.store.evidence import Evidence
from delt_exp.tokenizer.base import Vocabulary

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Pool:
    """What a scorer may look at.

    candidates: the documents of the run; `rows` of them are to be scored. target: text the data should serve, None
    unless the scorer needs it. chosen: the rows to score, None for all. work_dir: survives a kill, for scorers that
    continue. evidence: takes what a scorer shows of its work: tables, numbers, figures and sentences for record, page,
    loggers and studies.
    """

    candidates: TokenizedCorpus
    target: TokenizedCorpus | None
    resources: Resources
    work_dir: Path
    evidence: Evidence
    chosen: NDArray[np.intp] | None = None

    @property
    def rows(self) -> NDArray[np.intp]:
        """[R] the rows of `candidates` to score; models on the way may learn from all of them."""
        return np.arange(len(self.candidates)) if self.chosen is None else self.chosen

    @property
    def ids(self) -> NDArray[np.uint64]:
        """[R] content hashes of the documents to score."""
        return self.candidates.corpus.ids[self.rows]

    @property
    def sizes(self) -> Sizes:
        """What a forecast of the scoring is made from."""
        return sizes_of(self.candidates.tokens.lengths[self.rows], self.target, self.resources.run_tokenizer)


def sizes_of(lengths_N: NDArray[np.int64], target: TokenizedCorpus | None, vocabulary: Vocabulary) -> Sizes:
    """Return what a forecast is made from, of documents of these lengths in tokens."""
    if target is None:
        return Sizes(lengths_N, 0, 0, vocabulary)
    return Sizes(lengths_N, len(target), len(target.corpus.meta["sources"]), vocabulary)


class Scorer(Protocol):
    """Gives every document one number; fields of an implementation are the keys of its YAML file."""

    VERSION: ClassVar[int]  # bump when unchanged settings give changed numbers

    @property
    def needs(self) -> frozenset[str]:
        """What scores depend on beside the texts: `target`, the target set; `tokens`, the tokenizer."""

    @property
    def meaning(self) -> Meaning:
        """What the number is, its unit, and which direction is better."""

    def score(self, pool: Pool) -> Floats:
        """Return scores [R], finite; number i is that of the document `pool.rows[i]`, whatever else is asked for."""


@runtime_checkable
class Forecasting(Protocol):
    """A scorer that can tell what it will cost; the others cost next to nothing."""

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of every phase; reads no text."""


@runtime_checkable
class ReadsFiles(Protocol):
    """A scorer that reads files of its own, or holds one that may."""

    def check_files(self) -> None:
        """Raise ConfigError or DataError for files that no corpus could be scored by."""


@runtime_checkable
class Rescoring(Protocol):
    """A scorer that can keep in the store what a later target needs, so that scoring takes no pass over the corpus."""

    @property
    def meaning(self) -> Meaning: ...

    def score(self, pool: Pool) -> Floats: ...

    def rescore(self, pool: Pool) -> Floats:
        """Return estimated scores [R], and leave the evidence table `groups`; ConfigError where nothing is kept."""
