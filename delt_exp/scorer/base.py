"""What a scorer promises, and what it may look at."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.model.cost import PhaseCost
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources


@dataclass(frozen=True)
class Pool:
    """What a scorer may look at.

    candidates: the documents to score. target: text the data should serve, None unless the scorer's READS_TARGET.
    work_dir: survives a kill, for scorers that continue.
    evidence_dir: what a scorer leaves here goes to the record and the page: `annotated.parquet`, `fit.parquet`,
    `fit.json`, `phases.json`.
    """

    candidates: TokenizedCorpus
    target: TokenizedCorpus | None
    resources: Resources
    work_dir: Path
    evidence_dir: Path


class Scorer(Protocol):
    """Gives every document one number; fields of an implementation are the keys of its YAML file."""

    VERSION: ClassVar[int]  # bump when unchanged settings give changed numbers

    @property
    def READS_TARGET(self) -> bool:  # noqa: N802 - a constant wherever settings do not decide
        """Whether scores depend on the target set."""

    @property
    def READS_TOKENS(self) -> bool:  # noqa: N802
        """Whether scores depend on the tokenizer."""

    @property
    def meaning(self) -> Meaning:
        """What the number is, its unit, and which direction is better."""

    def score(self, pool: Pool) -> NDArray[np.float32]:
        """Return scores [N], finite; row i belongs to `pool.candidates.corpus.ids[i]`."""


@runtime_checkable
class Forecasting(Protocol):
    """A scorer that can tell what it will cost; the others cost next to nothing."""

    def forecast(self, pool: Pool) -> list[PhaseCost]:
        """Return the cost of every phase, from sizes alone."""
