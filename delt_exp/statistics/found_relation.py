"""What is known of y against x over pairs of training corpus and evaluation set, in numbers and in a sentence.

G points of a grid.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delt_exp.quantity import Ranged
from delt_exp.statistics.correlation import FEW_CORPORA
from delt_exp.statistics.mixed import MixedFit


@dataclass(frozen=True)
class CorpusLine:
    """Correlation and slope of y on x, with intervals over corpora."""

    r: Ranged
    slope: Ranged
    num_pairs: int
    num_train: int
    num_evaluation: int

    def __str__(self) -> str:
        return f"r = {self.r.value:.2f} [{self.r.low:.2f}, {self.r.high:.2f}], {self.num_pairs} pairs"


@dataclass(frozen=True)
class LeftOut:
    """The relation without one corpus; nan where what remains defines none."""

    factor: str  # "training corpus" or "evaluation set"
    corpus: str
    r: float
    slope: float


@dataclass(frozen=True, eq=False)
class Band:
    """The regression line on a grid over the range of x, with its pointwise interval over corpora.

    Half width: t (levels of the smaller factor - 1) times the standard deviation over resamples; it covered 0.93 to
    1.00 of the nominal 0.95, percentiles of the heights 0.73 to 1.00.
    """

    x_G: NDArray[np.float64]
    y_G: NDArray[np.float64]
    low_G: NDArray[np.float64]
    high_G: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Relation:
    """All that is known of y against x; `sentence` says what the data support.

    line: over all pairs, to describe them; within: after taking out the mean of each evaluation set. primary: what is
    claimed, `within` where there are at least 2 training corpora, else `line`.
    p: of r of `line`, taking the pairs for independent, which they are not: for comparison with papers, not for claims.
    within_r: in each set of at least 3 training corpora. different_domains, left_out, partial_r: as the primary, of
    pairs of different domains, without one corpus, and of x given the covariates. partial_detectable: the partial |r|
    that a study of this error finds with power 0.8. different_domains, within, mixed, partial_detectable: None where
    the points do not allow it.
    """

    line: CorpusLine
    intercept: float
    p: float
    spearman: float
    band: Band
    within: CorpusLine | None
    within_r: dict[str, float]
    different_domains: CorpusLine | None
    left_out: tuple[LeftOut, ...]
    mixed: MixedFit | None
    partial_r: Ranged | None
    partial_detectable: float | None
    alpha: float

    @property
    def primary(self) -> CorpusLine:
        """The relation that is claimed."""
        return self.within or self.line

    @property
    def r2(self) -> float:
        """Share of the variance of y, within evaluation sets, that x explains."""
        return self.primary.r.value**2

    @property
    def caveats(self) -> list[str]:
        """What keeps the relation from being a finding; empty where nothing does."""
        line, sign, found = self.primary, np.sign(self.primary.r.value), []
        if not line.r.shows(sign):
            found.append("no relation is shown, because the interval contains 0")
        for count, what in ((line.num_train, "training corpora"), (line.num_evaluation, "evaluation sets")):
            if count < FEW_CORPORA:
                found.append(f"the evidence is weak ({what}: {count})")
        if self.within is None:
            found.append("it is not shown within evaluation sets (too few pairs)")
        apart = self.different_domains
        if apart is None or not apart.r.shows(sign):
            found.append(f"it is not shown between different domains ({apart or 'too few pairs'})")
        turned = [left.corpus for left in self.left_out if left.r * sign <= 0]
        if turned:
            found.append(f"it does not hold without {' or without '.join(turned)}")
        unknown = [left.corpus for left in self.left_out if np.isnan(left.r)]
        if unknown:
            found.append(f"too little is left without {' or without '.join(unknown)} to say whether it holds")
        if self.partial_r is not None and not self.partial_r.shows(sign):
            found.append("it adds nothing measurable to the covariates")
        return found

    @property
    def sentence(self) -> str:
        """r with its interval and what it rests on, then the caveats."""
        line, r = self.primary, self.primary.r
        held = "it holds between different domains and without any one corpus"
        where = "" if self.within is None else " within evaluation sets"
        these = self.within is not None and line.num_evaluation < FEW_CORPORA
        over = "training corpora, for these evaluation sets only" if these else "corpora"
        return (
            f"r = {r.value:.2f}{where}, {100 * (1 - self.alpha):g} % interval over {over} [{r.low:.2f}, {r.high:.2f}] "
            f"(training corpora: {line.num_train}, evaluation sets: {line.num_evaluation}, pairs: {line.num_pairs}; "
            f"over all pairs r = {self.line.r.value:.2f}): {'; '.join(self.caveats) or held}."
        )
