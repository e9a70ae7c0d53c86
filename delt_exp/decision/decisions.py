"""Decision accuracy and signal-to-noise of every size and metric of a ladder, and what they say in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from delt_exp.decision.ladder import Ladder, Runs, number
from delt_exp.statistics.decision import (
    DecisionAccuracy,
    SignalToNoise,
    clear_pairs,
    decision_accuracy,
    signal_to_noise,
)


@dataclass(frozen=True)
class Decision:
    """What one size says about the large one, by one metric.

    by_mean: of the means over seeds, None where all arms tie at the large size. one_seed: of arms trained once each,
    against the large size's other seeds, averaged over the seeds that all have; None for fewer than two. clear: of
    means, over the pairs that seeds tell apart at the large size; None where there are none. protocol: of the size's
    learning rate, empty where there is one.
    """

    metric: str
    size: str
    num_arms: int
    num_seeds: int
    by_mean: DecisionAccuracy | None
    one_seed: DecisionAccuracy | None
    clear: DecisionAccuracy | None
    protocol: str = ""

    @property
    def name(self) -> str:
        """The size, and its protocol."""
        return " · ".join(filter(None, (self.size, self.protocol)))


@dataclass(frozen=True)
class Signal:
    """Signal-to-noise of a metric at a size; None where no arm has two seeds, or no seed differs.

    protocol: as in `Decision`.
    """

    metric: str
    size: str
    num_arms: int
    found: SignalToNoise | None
    protocol: str = ""


def sizes(*ladders: Ladder) -> list[str]:
    """Return all sizes, ascending where all are numbers, else as they come."""
    names = list(dict.fromkeys(size for ladder in ladders for by_size in ladder.values() for size in by_size))
    numbers = {name: found for name in names if (found := number(name)) is not None}
    return sorted(names, key=numbers.__getitem__) if len(numbers) == len(names) else names


def decisions(ladder: Ladder, large: str, alpha: float) -> list[Decision]:
    """Return the decisions of every other size against the large one, metric by metric; the ladder is checked."""
    return [
        _decision(metric, size, by_size[size], by_size[large], alpha)
        for metric, by_size in ladder.items()
        for size in sizes(ladder)
        if size != large and size in by_size
    ]


def signals(ladder: Ladder, alpha: float) -> list[Signal]:
    """Return signal-to-noise of every metric at every size."""
    found = []
    for metric, by_size in ladder.items():
        for size in sizes(ladder):
            if size in by_size:
                runs, are_paired = _by_seed(by_size[size])
                ratio = signal_to_noise(runs, alpha, are_paired=are_paired)
                found.append(Signal(metric, size, len(runs), ratio))
    return found


def _by_seed(runs: Runs) -> tuple[list[list[float]], bool]:
    """Return the outcomes of each arm in the order of its seeds, and whether all arms have the same."""
    seeds = [sorted(own) for own in runs.values()]
    ordered = [[own[seed] for seed in names] for own, names in zip(runs.values(), seeds, strict=True)]
    return ordered, all(names == seeds[0] for names in seeds)


def _decision(metric: str, size: str, small: Runs, large: Runs, alpha: float) -> Decision:
    arms = list(large)
    small_A, large_A = (np.array([np.mean(list(runs[arm].values())) for arm in arms]) for runs in (small, large))
    seeds = sorted(set.intersection(*(set(small[arm]) for arm in arms)))
    one_seed = None
    if len(seeds) > 1:
        small_SA = np.array([[small[arm][seed] for arm in arms] for seed in seeds])
        others_SA = np.array([[_mean_without(large[arm], seed) for arm in arms] for seed in seeds])
        one_seed = decision_accuracy(small_SA, others_SA, alpha=alpha)
    of_large, are_paired = _by_seed(large)
    clear_AA = clear_pairs(of_large, alpha, are_paired=are_paired)
    clear = None if clear_AA is None else decision_accuracy(small_A[None], large_A[None], clear_AA, alpha)
    by_mean = decision_accuracy(small_A[None], large_A[None], alpha=alpha)
    num_seeds = min(len(runs[arm]) for arm in arms for runs in (small, large))
    return Decision(metric, size, len(arms), num_seeds, by_mean, one_seed, clear)


def _mean_without(by_seed: Mapping[str, float], left_out: str) -> float:
    """Return the mean over the other seeds: a seed shares candidates and draws with itself at another size."""
    return float(np.mean([value for seed, value in by_seed.items() if seed != left_out or len(by_seed) == 1]))


def sentences(found: Sequence[Decision], large: str, alpha: float) -> list[str]:
    """Return a sentence for each size and protocol, and what the intervals are over."""
    said = []
    for name in dict.fromkeys(one.name for one in found):
        here = [(one, one.by_mean) for one in found if one.name == name and one.by_mean is not None]
        said += _of_size(name, large, [(one, accuracy) for one, accuracy in here if accuracy is not None])
    limit = f"Intervals are {100 * (1 - alpha):g} %, over arms as a sample of such arms; 50 % is chance."
    return [*said, limit] if said else ["All arms tie at the large size: there is no verdict to predict.", limit]


def _of_size(size: str, large: str, here: Sequence[tuple[Decision, DecisionAccuracy]]) -> list[str]:
    if not here:
        return []
    if len(here) == 1:
        one, accuracy = here[0]
        chance = "" if accuracy.low > 0.5 else ", not shown to be better than chance"
        return [f"{size} orders {percent(accuracy)} of pairs of {one.num_arms} arms as {large} does{chance}."]
    ranked = sorted(here, key=lambda pair: pair[1].value)
    (worst, least), (best, most) = ranked[0], ranked[-1]
    median = 100 * float(np.median([accuracy.value for _, accuracy in here]))
    sure = sum(accuracy.low > 0.5 for _, accuracy in here)
    return [
        f"{size} orders {median:.0f} % of pairs of {best.num_arms} arms as {large} does (median of {len(here)} "
        f"metrics; best {best.metric} {percent(most)}, worst {worst.metric} {percent(least)}; better than chance by "
        f"{sure})."
    ]


def percent(accuracy: DecisionAccuracy) -> str:
    """Return an accuracy and its interval in percent."""
    return f"{100 * accuracy.value:.0f} % [{100 * accuracy.low:.0f}, {100 * accuracy.high:.0f}]"


def lines(found: Sequence[Decision], noise: Sequence[Signal]) -> list[str]:
    """Return one line for each size and metric, in columns."""
    ratio = {(one.metric, one.size): one.found for one in noise}
    rows = []
    for one in found:
        signal = ratio[one.metric, one.size]
        parts = (("all pairs", one.by_mean), ("one seed", one.one_seed), ("clear pairs", one.clear))
        told = [f"{name} {percent(accuracy)}" for name, accuracy in parts if accuracy is not None]
        snr = [f"signal-to-noise {signal.value:.2g} [{signal.low:.2g}, {signal.high:.2g}]"] if signal else []
        rows.append((one.size, one.metric, "  ".join([*told, *snr])))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
