"""Two arms compared, and many comparisons with the chance of any false claim held down."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.statistics.paired import Estimate, LossArm, MetricArm

Arm = LossArm | MetricArm
Key = TypeVar("Key", bound=Hashable)

DETECTABLE = "Minimum detectable effect: the true difference that this study detects with 80 % power."
"""What the notes of tables say of `Comparison.detectable`."""


@dataclass(frozen=True)
class Comparison:
    """`first` minus `second`: estimate, test and verdict at level `alpha`.

    p_holm: p after Holm's correction over the `num_comparisons` of its family; the verdict rests on it. The interval
    is that of this comparison alone, so it can leave out 0 where the corrected verdict is "not distinguishable".
    """

    first: str
    second: str
    estimate: Estimate
    better: Literal["higher", "lower"]
    unit: str
    alpha: float
    p: float
    p_holm: float
    num_comparisons: int

    @property
    def interval(self) -> tuple[float, float]:
        """The (1 - alpha) interval of the difference, for this comparison alone."""
        return self.estimate.interval(self.alpha)

    @property
    def effect_size(self) -> float:
        """Difference in standard deviations of one observation of it (Cohen's d_z); 0 where nothing varied."""
        return self.estimate.value / self.estimate.spread if self.estimate.spread > 0 else 0.0

    @property
    def detectable(self) -> float:
        """Smallest true difference that this study finds with power 0.8 at Holm's strictest level, given its noise."""
        return self.estimate.detectable(self.alpha / self.num_comparisons)

    @property
    def is_clear(self) -> bool:
        """Whether the two differ beyond chance, corrected for all comparisons."""
        return self.p_holm < self.alpha

    @property
    def favours_first(self) -> bool:
        """Whether `first` has the better value, by chance or not."""
        return (self.estimate.value > 0) == (self.better == "higher")

    @property
    def is_better(self) -> bool:
        """Whether `first` is the better one beyond chance."""
        return self.is_clear and self.favours_first

    @property
    def verdict(self) -> str:
        """`better`, `worse` (said of `first`) or `not distinguishable`, then what weakens it.

        ` (one seed)` where seeds did not vary; ` (few documents)` where a claim could be about their lengths only.
        """
        word = "not distinguishable" if not self.is_clear else "better" if self.is_better else "worse"
        if self.estimate.over == "documents":
            word += " (one seed)"
        return word + (" (few documents)" if self.is_clear and self.estimate.few_documents else "")


def compare(first: Arm, second: Arm, alpha: float) -> Comparison:
    """Return the comparison of two arms on its own; raises DataError unless they are paired."""
    difference = first.minus(second)  # type: ignore[arg-type]  # `minus` itself refuses arms of two kinds
    estimate = difference.estimate
    p = estimate.p
    return Comparison(first.name, second.name, estimate, first.better, first.unit, alpha, p, p, 1)


def holm(comparisons: Sequence[Comparison], num_missing: int = 0) -> list[Comparison]:
    """Return the comparisons, in their order, corrected as one family (Holm 1979): P(any false claim) <= alpha.

    num_missing: comparisons of the family that are still to be made; whatever their p will be, that of the others will
    then be no larger than it is returned here.
    """
    adjusted = holm_p(np.array([one.p for one in comparisons] + [1.0] * num_missing))[: len(comparisons)]
    return [
        replace(one, p_holm=float(p), num_comparisons=len(comparisons) + num_missing)
        for one, p in zip(comparisons, adjusted, strict=True)
    ]


def holm_by_key(comparisons: Mapping[Key, Comparison]) -> dict[Key, Comparison]:
    """Return the comparisons, by their keys, corrected as one family."""
    return dict(zip(comparisons, holm(list(comparisons.values())), strict=True)) if comparisons else {}


def holm_p(p_M: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the adjusted p of M tests: the running maximum of (M - i) p_(i), i = 0 for the smallest, at most 1."""
    order = np.argsort(p_M, kind="stable")
    result = np.empty(len(p_M))
    result[order] = np.minimum(1, np.maximum.accumulate(p_M[order] * np.arange(len(p_M), 0, -1)))
    return result
