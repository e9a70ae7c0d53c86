"""Intervals of curves: whole subsets are drawn again, with the noise of the evaluation. R bootstraps.

Of n subsets a bootstrap shows (n - 1) / n of the variance, and n are too few for normal quantiles. So what a bootstrap
deviates from the mean is multiplied by sqrt(n / chi^2(n - 1)), after which the mean of a share follows Student's t.
With six nested subsets, intervals of nominal 95 % covered the mean of a share in 0.84 and a gain in 0.86 of 1,500
simulations without this, in 0.92 and 0.94 with it; with independent subsets in 0.87 and 0.90, now 0.94 and 0.98.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from delt_exp.files import digest
from delt_exp.quantity import Ranged
from delt_exp.rows.draws import generator
from delt_exp.statistics.saturating import Saturating, fit_saturating
from delt_exp.study.data_efficiency.curves import Curve, Key, Point, distinct

Values = Mapping[float, Sequence[float]]  # of the runs at each share


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """What a curve says, of its values and of R samples of them: by the curve fitted to each, and by the ends alone.

    Fits are made where somebody asks for them: they cost a thousand times as much as the ends.
    """

    values: Values
    samples: Sequence[Values]

    @cached_property
    def fit(self) -> Saturating:
        """The curve fitted to the values themselves."""
        return _fitted(self.values)

    @cached_property
    def fits(self) -> NDArray[np.float64]:
        """[R, 3] limit, drop and exponent of every sample."""
        return np.array([_fitted(sample) for sample in self.samples])

    @cached_property
    def ends(self) -> NDArray[np.float64]:
        """[3] the mean at the least share, with all, and the gain."""
        return _ends(self.values)

    @cached_property
    def sampled_ends(self) -> NDArray[np.float64]:
        """[R, 3] the same of every sample."""
        return np.array([_ends(sample) for sample in self.samples])

    def share_at_border(self) -> float:
        """Return in which share of the bootstraps the exponent is not identified."""
        return float(np.mean([not Saturating(*map(float, fit)).is_identified for fit in self.fits]))

    def is_identified(self, alpha: float) -> bool:
        """Say whether the points bend enough to tell the exponent, in the fit and in 1 - `alpha` of the bootstraps."""
        return self.fit.is_identified and self.share_at_border() <= alpha

    def mean_at(self, share: float, alpha: float) -> Ranged:
        """Return the mean over the runs of one share."""
        sampled_R = np.array([np.mean(sample[share]) for sample in self.samples])
        return percentiles(float(np.mean(self.values[share])), sampled_R, alpha)

    def gain(self, alpha: float) -> Ranged:
        """Return what all preferences give over the least share."""
        return percentiles(self.ends[2], self.sampled_ends[:, 2], alpha)


def bootstrapped(key: Key, curve: Curve, resamples: int) -> Bootstrap:
    """Return what a curve says with `resamples` bootstraps of it."""
    values = {share: [point.value for point in runs.values()] for share, runs in curve.items()}
    return Bootstrap(values, _samples(key, curve, resamples))


def _fitted(values: Values) -> Saturating:
    shares = np.array([share for share, own in values.items() for _ in own])
    return fit_saturating(shares, np.array([value for own in values.values() for value in own]))


def _ends(values: Values) -> NDArray[np.float64]:
    first, last = (float(np.mean(values[share])) for share in (min(values), max(values)))
    return np.array([first, last, last - first])


def _samples(key: Key, curve: Curve, resamples: int) -> list[Values]:
    """Return bootstrap samples of a curve: the same subsets at all shares where they are nested."""
    # Curves draw on their own: where two were drawn alike, their noise would cancel in a difference.
    rng = generator(0, "bootstrap of a curve", int(digest(list(key)), 16))
    spread = spread_of_runs(curve)
    names = sorted(set.intersection(*(set(points) for points in curve.values())))
    samples: list[Values] = []
    for _ in range(resamples):
        drawn, widths = rng.choice(names, (len(curve), len(names))), _widths(len(names), len(curve), rng)
        if key.subsets != "independent":
            drawn[:], widths[:] = drawn[0], widths[0]
        samples.append({
            share: list(_noisy(_drawn(curve[share], row, width, spread, rng), rng))
            for share, row, width in zip(curve, drawn, widths, strict=True)
        })  # fmt: skip
    return samples


def _widths(num_subsets: int, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return what deviations from the mean of these subsets are multiplied by, see above; 1 for a single one."""
    if num_subsets == 1:
        return np.ones(count)
    return np.sqrt(num_subsets / rng.chisquare(num_subsets - 1, count))


def spread_of_runs(curve: Curve) -> float:
    """Return the standard deviation between training runs of one share, over the shares whose subsets all differ.

    0 where there is no such share with two runs.
    """
    several = [[point.value for point in runs.values()] for runs in curve.values() if len(distinct(runs)) == len(runs)]
    variances = [float(np.var(values, ddof=1)) for values in several if len(values) > 1]
    return float(np.sqrt(np.mean(variances))) if variances else 0.0


def _drawn(
    runs: Mapping[str, Point], names: Sequence[str], width: float, spread: float, rng: np.random.Generator
) -> list[Point]:  # fmt: skip
    """Return the points of the drawn subsets, `width` times as far from the mean of all.

    Where subsets are one and the same training run, to draw them again says nothing of how another run would come out:
    their mean then varies as that of so many runs of the other shares would.
    """
    if len(different := distinct(runs)) == len(runs):
        mean = float(np.mean([point.value for point in runs.values()]))
        return [runs[name]._replace(value=mean + width * (runs[name].value - mean)) for name in names]
    error = spread / np.sqrt(len(different)) * rng.normal()
    return [point._replace(value=point.value + error) for point in runs.values()]


def _noisy(points: Sequence[Point], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return values as another evaluation set might give them; the runs of one share are evaluated on the same."""
    noise = rng.normal() * np.mean([point.stderr for point in points])
    return np.array([point.value for point in points]) + noise


def percentiles(value: float, drawn_R: NDArray[np.float64], alpha: float) -> Ranged:
    """Return a value with the interval that leaves out a share of `alpha` of what was drawn."""
    low, high = np.quantile(drawn_R, [alpha / 2, 1 - alpha / 2])
    return Ranged(float(value), float(low), float(high))
