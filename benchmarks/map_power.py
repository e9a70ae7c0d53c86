"""The analysis of `study=which_method` on simulated studies of its real size, whose truth is known.

    python -m benchmarks.map_power

Six tasks, twenty scorers and two placebos at two shares kept, five seeds, four draws of the baseline. Every arm has a
noise of its own between seeds, with a standard deviation from 0.037 to 0.255 nats, as 90 % of the map's arms had
(--noise: another range; --noisy: some have four times as much), beside what all arms of a seed share. Half of the
scorers gain nothing over their placebo, though keeping fewer documents helps or hurts by itself; the others gain 0.1 to
0.8.
Counts studies with a false verdict, false claims of what to use, effects found, and intervals that cover.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from delt_exp.statistics.paired import MetricArm
from delt_exp.statistics.power import Noise
from delt_exp.study.comparison.arms import Arm, Panel
from delt_exp.study.comparison.cost import Cost
from delt_exp.study.comparison.pairs import baseline_apart
from delt_exp.study.method_map.entries import Entry, entries_of, with_claims

ALPHA = 0.05
SHARES = ("0.2", "0.5")
PLACEBOS = ("random", "permuted")
COST = Cost(10.0, 1.0, 1.0, 0.0, 0.0, 0.0, None)


@dataclass(frozen=True)
class Size:
    """How large a study is."""

    tasks: int = 6
    scorers: int = 20
    seeds: int = 5
    draws: int = 4
    noise: tuple[float, float] = (0.037, 0.255)
    noisy: float = 0.0


@dataclass
class Counts:
    """What happened in `studies`: of these with any false verdict, and with any false claim of what to use.

    found, planted: effects; promised: how many of these a forecast says are found with probability 0.8 at least, and
    kept: of these, how many were; covered, intervals.
    """

    studies: int = 0
    false_verdicts: int = 0
    false_claims: int = 0
    planted: int = 0
    found: int = 0
    promised: int = 0
    kept: int = 0
    intervals: int = 0
    covered: int = 0


Truth = Mapping[tuple[str, str, str], tuple[float, float, float]]
"""Gain over the baseline, gain over the placebos and standard deviation between seeds, by task, scorer and share."""


def study(size: Size, draws: np.random.Generator) -> tuple[list[Panel], Truth, Mapping[str, float]]:
    """Return the panels of a simulated study, its truth, and the noise of each baseline."""
    panels, truth, noise = [], {}, {}
    for number in range(size.tasks):
        task, shared_S = f"task {number}", draws.normal(0, 0.1, size.seeds)

        def arm(labels: Mapping[str, str], gain: float, sd: float, shared_S: np.ndarray = shared_S) -> Arm:
            values_S = 5 - gain + shared_S + draws.normal(0, sd, size.seeds)
            outcome = MetricArm(" · ".join(labels.values()), tuple(range(size.seeds)), values_S, "lower", "nats")
            return Arm(dict(labels), {}, outcome, COST)

        noise[task] = _sd(draws, size.noise) / size.draws**0.5
        baseline = arm({"scorer": "random", "kept": "1.0"}, 0.0, noise[task])
        arms = [baseline]
        for kept in SHARES:
            own = draws.choice([-0.1, 0.0, 0.1])  # of keeping so much, whatever chooses
            for placebo in PLACEBOS:
                truth[task, placebo, kept] = own, 0.0, (sd := _sd(draws, size.noise, size.noisy))
                arms.append(arm({"scorer": placebo, "kept": kept}, own, sd))
            for scorer in range(size.scorers):
                gain = float(draws.uniform(0.1, 0.8)) if scorer % 2 else 0.0
                truth[task, f"scorer {scorer}", kept] = own + gain, gain, (sd := _sd(draws, size.noise, size.noisy))
                arms.append(arm({"scorer": f"scorer {scorer}", "kept": kept}, own + gain, sd))
        panels.append(Panel(task, baseline, arms, [], [], PLACEBOS))
    return panels, truth, noise


def _sd(draws: np.random.Generator, noise: tuple[float, float], noisy: float = 0.0) -> float:
    return float(np.exp(draws.uniform(*np.log(noise)))) * (4 if draws.random() < noisy else 1)


def entries(panels: Sequence[Panel]) -> list[Entry]:
    """Return what the report of the map makes of the panels."""
    told = baseline_apart(panels, ALPHA)
    return with_claims([entry for panel in told for entry in entries_of(panel)])


def count(size: Size, num_studies: int, seed: int) -> Counts:
    """Return what happens in so many studies."""
    counts = Counts(studies=num_studies)
    for number in range(num_studies):
        panels, truth, noise = study(size, np.random.default_rng([seed, number]))
        judged = list(_judged(entries(panels), truth))
        counts.false_verdicts += any(is_false for is_false, *_ in judged)
        counts.false_claims += any(is_false for _, is_false, *_ in judged)
        for _, _, entry, gain in judged:
            low, high = entry.gain.low, entry.gain.high
            counts.intervals, counts.covered = counts.intervals + 1, counts.covered + (low <= gain <= high)
        for _, _, entry, gain in judged:
            if gain == 0:
                continue
            counts.planted, counts.found = counts.planted + 1, counts.found + entry.pair.is_clear
            sd = truth[entry.task, entry.arm.labels["scorer"], entry.arm.labels["kept"]][2]
            reach = Noise(sd**2 + noise[entry.task] ** 2).detectable(size.seeds, ALPHA / len(judged))
            if abs(gain) >= reach:
                counts.promised, counts.kept = counts.promised + 1, counts.kept + entry.pair.is_clear
    return counts


def _judged(found: Sequence[Entry], truth: Truth) -> Iterator[tuple[bool, bool, Entry, float]]:
    """Yield whether the verdict and the claim of an entry are false, the entry, and its true gain."""
    for entry in found:
        gain, over_placebo, _ = truth[entry.task, entry.arm.labels["scorer"], entry.arm.labels["kept"]]
        is_false = entry.pair.is_clear and (gain == 0 or entry.pair.is_better != (gain > 0))
        yield is_false, entry.is_shown and (gain <= 0 or over_placebo <= 0), entry, gain


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.map_power", description=__doc__.split("\n")[0])
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--draws", type=int, default=4, help="of the baseline for each seed")
    parser.add_argument("--noise", type=float, nargs=2, default=Size.noise, help="least and most sd between seeds")
    parser.add_argument("--noisy", type=float, default=0.0, help="share of the arms with four times the noise")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    noise = (options.noise[0], options.noise[1])
    size = Size(seeds=options.seeds, draws=options.draws, noise=noise, noisy=options.noisy)
    counts = count(size, options.studies, options.seed)
    print(f"{counts.studies} studies of {size.tasks} tasks, {size.scorers} scorers, {size.seeds} seeds")
    print(f"any false verdict {counts.false_verdicts / counts.studies:.3f}, aim 0.05 or less")
    print(f"any false claim of what to use {counts.false_claims / counts.studies:.3f}, aim 0.05 or less")
    print(f"effects found {counts.found / counts.planted:.2f} of {counts.planted}")
    if counts.promised:
        print(f"effects that are promised found {counts.kept / counts.promised:.2f} of {counts.promised}, aim 0.8")
    print(f"intervals that cover {counts.covered / counts.intervals:.3f}, aim 0.95")


if __name__ == "__main__":
    main()
