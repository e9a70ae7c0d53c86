"""What a comparison will be able to see, from the noise of runs that are finished.

Two arms may differ in their noise. Their seeds are paired and the test is about the mean of the differences, whose
error is right whatever each arm contributes: nothing like Welch's correction is needed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from delt_exp.errors import DataError
from delt_exp.statistics.paired import Estimate, LossArm, MetricArm

MOST_SEEDS = 1000  # more are not asked for: such a study needs another design


@dataclass(frozen=True)
class Noise:
    """The variance of a difference: `seeds` of one seed, `documents` of the rest, which more seeds do not lower.

    document_df: degrees of freedom of the latter.
    """

    seeds: float
    documents: float = 0.0
    document_df: float = math.inf

    def estimate(self, num_seeds: int) -> Estimate:
        """Return what `num_seeds` would tell of a true difference of 0: an estimate of 0 with this noise."""
        parts = [(self.seeds / num_seeds, float(num_seeds - 1))]
        parts += [(self.documents, self.document_df)] if self.documents else []
        variances, dfs = zip(*parts, strict=True)
        return Estimate(0.0, variances, dfs, math.sqrt(self.seeds), "seeds")

    def detectable(self, num_seeds: int, level: float) -> float:
        """Return the true difference that the test at `level` over `num_seeds` finds with power 0.8."""
        return self.estimate(num_seeds).detectable(level)

    def seeds_for(self, effect: float, level: float) -> int | None:
        """Return the fewest seeds, at least 2, that find `effect` with power 0.8; None for more than MOST_SEEDS."""
        if self.detectable(MOST_SEEDS, level) > effect:
            return None
        low, high = 1, MOST_SEEDS  # too few, enough
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.detectable(middle, level) <= effect else (middle, high)
        return high


def paired_noise(difference: LossArm | MetricArm) -> Noise:
    """Return the noise of a difference, as its own seeds show it; raises DataError for one seed."""
    estimate, num_seeds = difference.estimate, len(difference.seeds_S)
    if num_seeds < 2:
        raise DataError(f"{difference.name} has one seed; noise over seeds needs at least 2")
    of_documents = zip(estimate.variances[1:], estimate.dfs[1:], strict=True)
    return Noise(estimate.variances[0] * num_seeds, *next(of_documents, (0.0, math.inf)))


def separate_noise(first: LossArm | MetricArm, second: LossArm | MetricArm) -> Noise:
    """Return the noise of the difference of two arms from each alone, as if they had nothing in common but documents.

    Too large where arms of one seed move together, too small by what documents prefer one of them. Raises DataError for
    one seed.
    """
    return Noise(_over_seeds(first) + _over_seeds(second))


def pooled(noises: Sequence[Noise]) -> Noise:
    """Return the mean noise of several differences; documents with the fewest degrees of freedom."""
    seeds, documents = (float(np.mean([getattr(one, part) for one in noises])) for part in ("seeds", "documents"))
    return replace(noises[0], seeds=seeds, documents=documents, document_df=min(one.document_df for one in noises))


def _over_seeds(arm: LossArm | MetricArm) -> float:
    if len(arm.seeds_S) < 2:
        raise DataError(f"arm {arm.name!r} has one seed; noise over seeds needs at least 2")
    if isinstance(arm, MetricArm):
        return float(np.var(arm.values_S, ddof=1))
    return float(np.var(arm.sum_nats_SD.sum(1) / arm.num_tokens_D.sum(), ddof=1))
