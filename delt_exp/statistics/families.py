"""Many arms: all comparisons of a study with the chance of any false claim held down, and a leaderboard."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import DataError
from delt_exp.statistics.paired import Estimate, LossArm, MetricArm, Over

Arm = LossArm | MetricArm


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
    def verdict(self) -> str:
        """`better`, `worse` (said of `first`) or `not distinguishable`, with ` (one seed)` where seeds did not vary."""
        word = "not distinguishable"
        if self.p_holm < self.alpha:
            word = "better" if (self.estimate.value > 0) == (self.better == "higher") else "worse"
        return word + (" (one seed)" if self.estimate.over == "documents" else "")

    @property
    def sentence(self) -> str:
        """What may be said, in one or two sentences."""
        low, high = self.interval
        words = {"better": "is better than", "worse": "is worse than", "not": "is not distinguishable from"}
        text = (
            f"{self.first} {words[self.verdict.split()[0]]} {self.second}: difference {self.estimate.value:+.4g} "
            f"{self.unit}, {100 * (1 - self.alpha):g} % interval [{low:+.4g}, {high:+.4g}] over {self.estimate.over}, "
            f"p = {self.p_holm:.2g} (Holm, {self.num_comparisons} comparisons), "
            f"smallest difference in reach {self.detectable:.2g}."
        )
        one_seed = " Seeds were not varied: this says nothing about training the arms again."
        return text + (one_seed if self.estimate.over == "documents" else "")


@dataclass(frozen=True)
class Standing:
    """One line of a leaderboard; intervals of arms may overlap where their paired difference is clear.

    verdict: of this arm against the first of the board, Holm over all of these; None for the first itself.
    """

    rank: int
    name: str
    value: float
    low: float
    high: float
    over: Over
    verdict: str | None


def compare(first: Arm, second: Arm, alpha: float) -> Comparison:
    """Return the comparison of two arms on its own; raises DataError unless they are paired."""
    difference = first.minus(second)  # type: ignore[arg-type]  # `minus` itself refuses arms of two kinds
    estimate = difference.estimate
    p = estimate.p
    return Comparison(first.name, second.name, estimate, first.better, first.unit, alpha, p, p, 1)


def holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons, in their order, corrected as one family (Holm 1979): P(any false claim) <= alpha."""
    adjusted = holm_p(np.array([one.p for one in comparisons]))
    return [
        replace(one, p_holm=float(p), num_comparisons=len(comparisons))
        for one, p in zip(comparisons, adjusted, strict=True)
    ]


def holm_p(p_M: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the adjusted p of M tests: the running maximum of (M - i) p_(i), i = 0 for the smallest, at most 1."""
    order = np.argsort(p_M, kind="stable")
    result = np.empty(len(p_M))
    result[order] = np.minimum(1, np.maximum.accumulate(p_M[order] * np.arange(len(p_M), 0, -1)))
    return result


def all_pairs(arms: Sequence[Arm], alpha: float) -> list[Comparison]:
    """Return every arm against every later one, corrected as one family."""
    _check_names(arms)
    return holm([compare(first, second, alpha) for first, second in combinations(arms, 2)])


def against(baseline: Arm, arms: Sequence[Arm], alpha: float) -> list[Comparison]:
    """Return every arm minus the baseline, corrected as one family."""
    _check_names([baseline, *arms])
    return holm([compare(arm, baseline, alpha) for arm in arms])


def leaderboard(arms: Sequence[Arm], alpha: float) -> list[Standing]:
    """Return the arms, best first (ties by name), each with its mean and (1 - alpha) interval.

    The first arm is chosen by looking, so the family of the verdicts against it is all pairs.
    """
    # The best arm can only be better than another, which is then worse.
    pairs = all_pairs(arms, alpha)
    verdicts = {frozenset((one.first, one.second)): one.verdict.replace("better", "worse") for one in pairs}
    turn = -1 if arms[0].better == "higher" else 1
    board = sorted(arms, key=lambda arm: (turn * arm.estimate.value, arm.name))
    standings = []
    for rank, arm in enumerate(board, 1):
        low, high = arm.estimate.interval(alpha)
        verdict = verdicts[frozenset((arm.name, board[0].name))] if rank > 1 else None
        standings.append(Standing(rank, arm.name, arm.estimate.value, low, high, arm.estimate.over, verdict))
    return standings


def _check_names(arms: Sequence[Arm]) -> None:
    names = [arm.name for arm in arms]
    if len(names) < 2 or len(set(names)) != len(names):
        raise DataError(f"the arms {names} cannot be compared; pass at least 2, each with a name of its own")
