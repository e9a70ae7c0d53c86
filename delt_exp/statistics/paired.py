"""Two arms of a study over the same seeds and the same evaluation documents: which is better, and how sure.

Shape suffixes: S seeds, D documents.

Seeds and documents are both draws from many more, so an error over one of them alone claims too much. Here both are
random (Clark 1973). With w_d tokens in document d (mean W, share u_d = w_d / W), x_sd the difference of its sums of
nats and m = sum x_sd / (S sum w_d) the difference of the token means, the ratio estimator is linear in

    z_sd = x_sd / W - m u_d = seed effect * u_d + document effect + rest,

exactly over seeds and to first order over documents (Cochran 1977, section 6.4). Its variance is

    V = V_S + V_D,   V_S = MS_S / (S D),   V_D = max(MS_D - MS_R, 0) / (S D),

from the mean squares of seeds, documents and rest (z_sd - z_.d - z_s. u_d: the effect of a seed is one of tokens, so it
grows with the document). V_S holds the rest already, hence the subtraction; V is never below the variance over seeds.
What departs from the textbook, and why (simulated below):

- MS_D is that of the jackknife, l_d = z_.d / (1 - u_d / D). Its degrees of freedom are the smaller of two effective
  numbers of documents (Kish 1965), less 1. The first is (sum w)^2 / sum w^2: a few long documents count as few. The
  second is (sum l^2)^2 / sum l^4: where a few documents make up the variance, it is known no better than from these
  few. That matters where the difference depends on length. With a difference per token that is linear in log length,
  studies of 30 documents made a false claim at level 0.05 in 0.09 (log-normal lengths of sigma 0.7) and 0.15 (sigma
  1.0) of cases with the first number alone, in 0.04 and 0.06 with both. The price: normal l leave D / 3 degrees of
  freedom, so that the interval is 10 % wider than that of the t-test on D - 1 at 30 documents, 3 % at 100. With a
  difference linear in length itself, false claims remain at 0.10 (sigma 0.7) and 0.17 (1.0) for 30 documents, 0.08 and
  0.14 for 100, because the longest documents were not drawn: hence `few_documents`.

- The half width is sqrt(V_S t^2(S - 1) + V_D t^2(df_D)) (Banerjee 1961), not Satterthwaite's t(df) sqrt(V), whose df
  is overestimated just when V is underestimated: with 4 arms and 5 seeds, 8 of 100 studies then made a false claim
  after Holm's correction. With seeds alone, both are the t-test.

Simulated share of studies with any false claim after Holm's correction, nominal 0.05 (families of 3 to 190 comparisons
of 4 and 20 arms, 5 seeds, 30 to 300 documents of log-normal lengths of sigma 0.7, differences dependent on log length
or not): 0.00 to 0.04 with effects of the document, up to 0.06 without. Where seeds dominate, the percentile interval of
the pigeonhole bootstrap (Owen 2007), nominal 95 %, covered 0.50 to 0.54 (S = 2) and 0.83 to 0.86 (S = 5), and an
interval over documents only 0.02 to 0.95: neither is offered.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import DataError
from delt_exp.statistics.inputs import check_lengths, finite

Over = Literal["seeds and documents", "seeds", "documents", "corpora"]
FEW_DOCUMENTS = 100  # below, a difference that depends on length can pass for one of all documents
POWER = 0.8  # the usual chance that a study should have to see the effect it is made for
LEAST_DF = 1.0  # of documents, one of which may be most of the text
SMALLEST_P = 1e-300  # smaller p are reported as this: near the smallest float, levels lose their digits


@dataclass(frozen=True)
class Estimate:
    """A mean and the parts of its variance, each with its degrees of freedom.

    over: what was varied, so what the interval generalises to. spread: standard deviation of one observation (one seed
    on one document), free of how many there were. few_documents: whether it is over fewer than FEW_DOCUMENTS documents.
    """

    value: float
    variances: tuple[float, ...]
    dfs: tuple[float, ...]
    spread: float
    over: Over
    few_documents: bool = False

    @property
    def stderr(self) -> float:
        """Standard error of the value."""
        return math.sqrt(sum(self.variances))

    @property
    def df(self) -> float:
        """Degrees of freedom of the whole variance (Satterthwaite 1946); for the reader and the forecast of power."""
        squares = sum(variance**2 / df for variance, df in zip(self.variances, self.dfs, strict=True))
        return sum(self.variances) ** 2 / squares if squares > 0 else min(self.dfs)

    def interval(self, alpha: float) -> tuple[float, float]:
        """Return the interval that covers with probability 1 - alpha or a little more."""
        half_width = self._critical(alpha) * self.stderr
        return self.value - half_width, self.value + half_width

    @property
    def p(self) -> float:
        """The level at which the interval ends at 0, at least SMALLEST_P; 1 where nothing varied (to rounding)."""
        if self.value == 0 or self.stderr <= 1e-12 * abs(self.value):
            return 1.0
        from scipy.optimize import brentq  # here and below, because it takes longer to load than a cached run
        from scipy.special import stdtr

        t = abs(self.value) / self.stderr
        # The levels of t on each of the degrees of freedom enclose that of their mixture; a little more for rounding.
        levels = 2 * stdtr(np.array(self.dfs), -t)
        low, high = max(float(levels.min()) * (1 - 1e-9), SMALLEST_P), min(float(levels.max()) * (1 + 1e-9), 1.0)
        if self._critical(low) <= t:
            return low
        return math.exp(brentq(lambda log_p: self._critical(math.exp(log_p)) - t, math.log(low), math.log(high)))

    def detectable(self, level: float) -> float:
        """Return the true value that the test at `level` finds, with its sign, with probability 0.8 at this error."""
        from scipy.optimize import brentq
        from scipy.stats import nct

        critical = self._critical(level)
        shift = brentq(lambda shift: nct.sf(critical, self.df, shift) - POWER, 0, 3 * critical + 3)
        return float(shift) * self.stderr

    def _critical(self, level: float) -> float:
        """Return the half width of the interval in standard errors."""
        from scipy.special import stdtrit

        total = sum(self.variances) or 1.0
        terms = zip(self.variances, stdtrit(np.array(self.dfs), level / 2), strict=True)
        return math.sqrt(sum(variance / total * t**2 for variance, t in terms))


@dataclass(frozen=True, eq=False)
class LossArm:
    """Losses of one arm on every document, one row per seed; `documents.parquet` of an evaluation holds one such row.

    Raises DataError for values not finite, shapes that do not fit, repeated seeds, or fewer than 2 documents.
    """

    better: ClassVar[Literal["lower"]] = "lower"
    unit: ClassVar[str] = "nats/token"
    name: str
    seeds_S: tuple[int, ...]
    ids_D: NDArray[np.uint64]
    sum_nats_SD: NDArray[np.float64]
    num_tokens_D: NDArray[np.int64]

    def __post_init__(self) -> None:
        sums_SD = finite(f"sum_nats of {self.name!r}", self.sum_nats_SD, 2)
        sizes_D = finite(f"num_tokens of {self.name!r}", self.num_tokens_D)
        check_lengths(ids=self.ids_D, num_tokens=sizes_D, sum_nats=sums_SD.T)
        _check_seeds(self.name, self.seeds_S, len(sums_SD))
        if sizes_D.min() < 0 or np.count_nonzero(sizes_D) < 2:
            raise DataError(
                f"arm {self.name!r} has {len(sizes_D)} documents of {sizes_D.min():g} to {sizes_D.max():g} tokens; "
                "an error needs at least 2 documents with tokens: use a larger evaluation dataset"
            )

    def minus(self, other: "LossArm") -> "LossArm":
        """Return the difference, document by document; raises DataError unless seeds and documents are the same."""
        _check_same_seeds(self, other)
        same_ids = np.array_equal(self.ids_D, other.ids_D)
        if not (same_ids and np.array_equal(self.num_tokens_D, other.num_tokens_D)):
            raise DataError(
                f"arms {self.name!r} ({len(self.ids_D)} documents) and {other.name!r} ({len(other.ids_D)}) differ in "
                f"{'the tokens of their' if same_ids else 'their'} documents; evaluate both on one dataset in one "
                "order, with one tokenizer"
            )
        difference_SD = np.asarray(self.sum_nats_SD, np.float64) - other.sum_nats_SD
        return LossArm(f"{self.name} - {other.name}", self.seeds_S, self.ids_D, difference_SD, self.num_tokens_D)

    @cached_property
    def estimate(self) -> Estimate:
        """The token mean [nats/token]; over documents only where there is one seed."""
        return ratio_estimate(np.asarray(self.sum_nats_SD, np.float64), np.asarray(self.num_tokens_D, np.float64))


@dataclass(frozen=True, eq=False)
class MetricArm:
    """One number per seed: the accuracy on a benchmark, the AUC of a score. Raises DataError for fewer than 2 seeds."""

    name: str
    seeds_S: tuple[int, ...]
    values_S: NDArray[np.float64]
    better: Literal["higher", "lower"]
    unit: str

    def __post_init__(self) -> None:
        _check_seeds(self.name, self.seeds_S, len(finite(f"values of {self.name!r}", self.values_S)))
        if len(self.seeds_S) < 2:
            raise DataError(f"arm {self.name!r} has one seed and one number, so no error; run at least 2 seeds")

    def minus(self, other: "MetricArm") -> "MetricArm":
        """Return the difference, seed by seed; raises DataError unless seeds, unit and direction are the same."""
        _check_same_seeds(self, other)
        if (self.unit, self.better) != (other.unit, other.better):
            raise DataError(f"arms {self.name!r} [{self.unit}] and {other.name!r} [{other.unit}] measure two things")
        difference_S = np.asarray(self.values_S, np.float64) - other.values_S
        return MetricArm(f"{self.name} - {other.name}", self.seeds_S, difference_S, self.better, self.unit)

    @cached_property
    def estimate(self) -> Estimate:
        """The mean over seeds; of a difference, the paired t-test."""
        values_S = np.asarray(self.values_S, np.float64)
        spread = float(values_S.std(ddof=1))
        count = len(values_S)
        return Estimate(float(values_S.mean()), (spread**2 / count,), (count - 1,), spread, "seeds")


def ratio_estimate(sums_SD: NDArray[np.float64], sizes_D: NDArray[np.float64]) -> Estimate:
    """Return the mean per unit of size, sum x_sd / (S sum w_d), as the head of this file derives it.

    Over documents only where there is one seed.
    """
    num_seeds, num_documents = sums_SD.shape
    value = float(sums_SD.sum() / (num_seeds * sizes_D.sum()))
    share_D = sizes_D / sizes_D.mean()
    z_SD = sums_SD / sizes_D.mean() - value * share_D
    left_out_D = z_SD.mean(0) / (1 - share_D / num_documents)
    document_ms = num_seeds * (num_documents - 1) * float(np.square(left_out_D).sum()) / num_documents**2
    effective = min(_effective_number(sizes_D), _effective_number(np.square(left_out_D)))
    document_df = max(effective - 1, LEAST_DF)
    few = int(np.count_nonzero(sizes_D)) < FEW_DOCUMENTS
    if num_seeds == 1:
        spread = math.sqrt(document_ms)
        return Estimate(value, (document_ms / num_documents,), (document_df,), spread, "documents", few)
    return replace(_crossed(value, z_SD, share_D, document_ms, document_df), few_documents=few)


def _crossed(
    value: float, z_SD: NDArray[np.float64], share_D: NDArray[np.float64], document_ms: float, document_df: float
) -> Estimate:
    """Return the estimate with both factors random, as the head of this file derives it."""
    num_seeds, num_documents = z_SD.shape
    seed_z_S1 = z_SD.mean(1, keepdims=True)
    rest_SD = z_SD - z_SD.mean(0) - seed_z_S1 * share_D
    rest_ms = float(np.square(rest_SD).sum()) / ((num_seeds - 1) * (num_documents - 1))
    seed_ms = num_documents * float(np.square(seed_z_S1).sum()) / (num_seeds - 1)
    variances = seed_ms / z_SD.size, max(document_ms - rest_ms, 0.0) / z_SD.size
    # Sum of the three variance components, each estimated without bias; never negative for S, D >= 2.
    spread = math.sqrt(rest_ms + (seed_ms - rest_ms) / num_documents + (document_ms - rest_ms) / num_seeds)
    return Estimate(value, variances, (num_seeds - 1, document_df), spread, "seeds and documents")


def _effective_number(weights_D: NDArray[np.float64]) -> float:
    """Return Kish's effective number of weights, their count where all are 0 and so equal."""
    squares = float(np.square(weights_D).sum())
    return float(weights_D.sum()) ** 2 / squares if squares > 0 else float(len(weights_D))


def _check_seeds(name: str, seeds_S: tuple[int, ...], num_rows: int) -> None:
    if len(seeds_S) != num_rows or len(set(seeds_S)) != num_rows:
        raise DataError(f"arm {name!r} has {num_rows} rows for the seeds {list(seeds_S)}; pass one row for each seed")


def _check_same_seeds(first: LossArm | MetricArm, second: LossArm | MetricArm) -> None:
    if type(first) is not type(second) or first.seeds_S != second.seeds_S:
        raise DataError(
            f"arms {first.name!r} ({type(first).__name__}, seeds {list(first.seeds_S)}) and {second.name!r} "
            f"({type(second).__name__}, seeds {list(second.seeds_S)}) are not paired; run both with the same seeds"
        )
