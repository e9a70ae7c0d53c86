"""How often a small scale decides as a large one does, and how far its outcomes stand out from their noise.

Decision accuracy is that of DataDecide (Magnusson et al. 2025, arXiv 2504.11393): the share of pairs of arms whose
order at the small scale is that at the large one. It is a U-statistic of degree two over arms: pairs that share an arm
are not independent, so its variance is over arms (jackknife; Efron and Stein 1981). Signal-to-noise follows Heineman et
al. 2025 (arXiv 2508.13144), with seeds for their last checkpoints and the noise in the spread of means taken off.

Shape suffixes: A arms, S decisions (one for the mean over seeds, one for each seed for single runs).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from delt_exp.errors import DataError
from delt_exp.statistics.inputs import check_lengths, finite

MIN_ARMS = 3


@dataclass(frozen=True)
class DecisionAccuracy:
    """Share of right decisions with its interval [0, 1]; 0.5 is chance. num_pairs: pairs that count."""

    value: float
    low: float
    high: float
    num_pairs: int


@dataclass(frozen=True)
class SignalToNoise:
    """value: sd of the true means of arms over the sd between seeds of one arm, 0 or more, with its interval.

    Where all arms have the same seeds, what a seed does to all of them alike is no noise: it cancels between arms.

    signal, noise: the two, in the unit of the outcome.
    """

    value: float
    low: float
    high: float
    signal: float
    noise: float


def decision_accuracy(
    small_SA: ArrayLike, large_SA: ArrayLike, counted_AA: NDArray[np.bool_] | None = None, alpha: float = 0.05
) -> DecisionAccuracy | None:
    """Return the share of pairs of arms that the small scale orders as the large one; None where no pair counts.

    A tie at the small scale is half right, as a coin would be; a tie at the large scale has no right answer and does
    not count, nor does a pair outside `counted_AA` (None: all). Each row of `small_SA` is held against its row of
    `large_SA`, and their shares are averaged. The interval at 1 - alpha is over arms as a sample of such arms, with the
    noise of their runs. Raises DataError for fewer than three arms.
    """
    small, large = (
        finite(f"outcomes at the {scale} scale", rows, 2) for scale, rows in (("small", small_SA), ("large", large_SA))
    )
    check_lengths(small=small[0], large=large[0])
    check_lengths(small=small, large=large)
    if (num_arms := small.shape[1]) < MIN_ARMS:
        raise DataError(f"{num_arms} arms; decision accuracy needs at least {MIN_ARMS}: add arms")
    order_SAA, found_SAA = (np.sign(rows[:, :, None] - rows[:, None, :]) for rows in (large, small))
    counts_AA = (order_SAA != 0).all(axis=0) & (True if counted_AA is None else counted_AA)
    if not counts_AA.any():
        return None
    right_AA = np.where(counts_AA, (1 + (found_SAA * order_SAA).mean(axis=0)) / 2, 0.0)
    value, num_pairs = float(right_AA.sum() / counts_AA.sum()), int(counts_AA.sum()) // 2
    effective = _effective_pairs(right_AA, counts_AA, value, num_pairs)
    return DecisionAccuracy(value, *_wilson(value, effective, num_arms - 1, alpha), num_pairs)


def _effective_pairs(
    right_AA: NDArray[np.float64], counts_AA: NDArray[np.bool_], value: float, num_pairs: int
) -> float:  # fmt: skip
    """Return how many independent pairs would have the variance over arms.

    Hoeffding (1948): between num_arms / 2, where each arm moves all its pairs, and all pairs, where none does. The
    jackknife leaves that range by chance. Where pairs are left out, num_pairs / (num_arms - 1) stands for num_arms / 2.
    Where every pair is right, or wrong, the jackknife would see no variance: one pair then counts as a toss here.
    """
    num_arms = len(right_AA)
    least = num_pairs / (num_arms - 1)
    if value in (0.0, 1.0):
        first, second = np.argwhere(counts_AA)[0]
        right_AA[[first, second], [second, first]] = 0.5
        value = float(right_AA.sum() / counts_AA.sum())
    counts_A = counts_AA.sum() - 2 * counts_AA.sum(axis=0)
    if not counts_A.all():
        return least
    without_A = (right_AA.sum() - 2 * right_AA.sum(axis=0)) / counts_A
    variance = (num_arms - 1) / num_arms * ((without_A - without_A.mean()) ** 2).sum()
    # Every arm may weigh the same by chance, as where every pair is a coin toss: then no pair hangs on its arms.
    return float(np.clip(value * (1 - value) / variance, least, num_pairs)) if variance else float(num_pairs)


def _wilson(value: float, count: float, df: int, alpha: float) -> tuple[float, float]:
    """Return Wilson's interval of a share among `count` draws, with the t quantile of a variance from few arms."""
    z2 = float(stats.t.ppf(1 - alpha / 2, df)) ** 2
    centre, half = value + z2 / (2 * count), np.sqrt(z2 * (value * (1 - value) / count + z2 / (4 * count**2)))
    return float((centre - half) / (1 + z2 / count)), float((centre + half) / (1 + z2 / count))


def clear_pairs(
    runs: Sequence[ArrayLike], alpha: float = 0.05, *, are_paired: bool = False
) -> NDArray[np.bool_] | None:  # fmt: skip
    """Return which pairs of arms (A, A) differ at level alpha, pair by pair; runs: the outcomes of each arm, by seed.

    Student's t test with the variance between seeds pooled over all arms. are_paired: the k-th outcomes of all arms are
    of one seed, and what they share is left out. None where no arm has two runs.
    """
    means_A, inverse_A, noise, df = _by_arm(runs, are_paired=are_paired)
    if not df:
        return None
    error_AA = noise * np.sqrt(inverse_A[:, None] + inverse_A)
    return np.asarray(np.abs(means_A[:, None] - means_A) > stats.t.ppf(1 - alpha / 2, df) * error_AA)


def signal_to_noise(
    runs: Sequence[ArrayLike], alpha: float = 0.05, *, are_paired: bool = False
) -> SignalToNoise | None:  # fmt: skip
    """Return sd of arms over sd of seeds; runs: the outcomes of each arm, by seed; are_paired: as for `clear_pairs`.

    Analysis of variance: the variance of means holds that of the noise, divided by the number of seeds, which is taken
    off; where less than nothing remains, the signal is 0. The interval inverts the F test (Searle 1971), exact for
    normal noise and as many seeds in every arm. None where no arm has two runs, or nothing differs between seeds.
    """
    means_A, inverse_A, noise, df = _by_arm(runs, are_paired=are_paired)
    if not df or noise == 0:
        return None
    share, spread = float(inverse_A.mean()), float(means_A.var(ddof=1))
    ratio = spread / (noise**2 * share)
    tails = stats.f.ppf([1 - alpha / 2, alpha / 2], len(means_A) - 1, df)
    low, high = (float(np.sqrt(max(ratio / tail - 1, 0.0) * share)) for tail in tails)
    signal = float(np.sqrt(max(spread - noise**2 * share, 0.0)))
    return SignalToNoise(signal / noise, low, high, signal, noise)


def _by_arm(
    runs: Sequence[ArrayLike], *, are_paired: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], float, int]:  # fmt: skip
    """Return the mean and 1 / number of runs of each arm, the pooled sd between seeds and its degrees of freedom."""
    arms = [finite("outcomes of an arm", values) for values in runs]
    if len(arms) < 2:
        raise DataError(f"{len(arms)} arm; give at least two")
    means_A, inverse_A = np.array([arm_S.mean() for arm_S in arms]), np.array([1 / len(arm_S) for arm_S in arms])
    residuals, df = [arm_S - mean for arm_S, mean in zip(arms, means_A, strict=True)], sum(map(len, arms)) - len(arms)
    if are_paired:
        check_lengths(**{f"arm {number}": arm_S for number, arm_S in enumerate(arms)})
        shared_S = np.mean(residuals, axis=0)
        residuals, df = [arm_S - shared_S for arm_S in residuals], df - (len(shared_S) - 1)
    squares = sum(float((arm_S**2).sum()) for arm_S in residuals)
    is_rounding = squares <= 1e-24 * sum(float((arm_S**2).sum()) for arm_S in arms)
    return means_A, inverse_A, 0.0 if not df or is_rounding else float(np.sqrt(squares / df)), df
