"""Losses of training corpora on evaluation sets as points to be related, and resampling by corpus.

Shape suffixes: N points, B weightings of the points, C columns, K covariates.

Points that share a training corpus or an evaluation set are not independent: a resample therefore draws training
corpora and, independently, evaluation sets, with replacement; a point weighs the product of how often its two were
drawn (pigeonhole bootstrap, Owen 2007). A factor of one level stays as it is, and nothing is claimed about others.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import DataError
from delt_exp.rows.draws import generator
from delt_exp.statistics.inputs import check_lengths, finite


@dataclass(frozen=True, eq=False)
class Points:
    """One row for each training corpus, evaluation set and seed; raises DataError for what does not fit or is repeated.

    same_domain_N: whether evaluation and training text are of one domain. covariates_KN: what x must
    add to, a row each, if anything.
    """

    train_N: NDArray[np.str_]
    evaluation_N: NDArray[np.str_]
    x_N: NDArray[np.float64]
    y_N: NDArray[np.float64]
    same_domain_N: NDArray[np.bool_]
    covariates_KN: NDArray[np.float64] | None = None
    seed_N: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        rest = [] if self.covariates_KN is None else list(self.covariates_KN)
        numbers = {"x": self.x_N, "y": self.y_N} | {f"covariate {k}": values_N for k, values_N in enumerate(rest)}
        for name, values in numbers.items():
            finite(name, values)
        seed_N = np.zeros(len(self.x_N), np.int64) if self.seed_N is None else self.seed_N
        check_lengths(
            train=self.train_N, evaluation=self.evaluation_N, same_domain=self.same_domain_N, seed=seed_N, **numbers
        )
        rows = list(zip(self.train_N, self.evaluation_N, seed_N, strict=True))
        if len(set(rows)) < len(rows):
            again = next(row for row in rows if rows.count(row) > 1)
            raise DataError(
                f"training corpus {again[0]} with evaluation set {again[1]} and seed {again[2]} comes twice; "
                "pass every pair once, or once for each seed with the seeds"
            )

    def mean_over_seeds(self) -> "Points":
        """Return one row per pair; seeds of one pair are no further pairs. Raises DataError for unequal seeds."""
        if self.seed_N is None:
            return self
        pairs = np.stack([np.unique(labels, return_inverse=True)[1] for labels in (self.train_N, self.evaluation_N)])
        _, first, pair_N, counts = np.unique(pairs, axis=1, return_index=True, return_inverse=True, return_counts=True)
        if (counts != len(np.unique(self.seed_N))).any():
            row = first[counts.argmin()]
            raise DataError(
                f"training corpus {self.train_N[row]} with evaluation set {self.evaluation_N[row]} has {counts.min()} "
                f"of {len(np.unique(self.seed_N))} seeds; train every pair with the same seeds"
            )

        def mean(values_N: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.bincount(pair_N.ravel(), values_N) / counts

        rest_KN = None if self.covariates_KN is None else np.stack([mean(values_N) for values_N in self.covariates_KN])
        return replace(self.rows(first), x_N=mean(self.x_N), y_N=mean(self.y_N), covariates_KN=rest_KN, seed_N=None)

    def rows(self, keep: NDArray[Any]) -> "Points":
        """Return these rows (positions or a mask)."""
        columns: dict[str, Any] = {
            name: None if column is None else column[..., keep] for name, column in vars(self).items()
        }
        return Points(**columns)


def percentiles(draws_B: NDArray[np.float64], alpha: float, lowest: float, highest: float) -> tuple[float, float]:
    """Return the ends of the (1 - alpha) interval over resamples of a statistic in [lowest, highest].

    A resample that left nothing to compute the statistic from (nan) could have given any value: it counts as the lowest
    for one end and as the highest for the other. So three corpora, of which a ninth of the resamples draws only one,
    give no interval where one is too little.
    """
    undefined_B = np.isnan(draws_B)
    low = np.quantile(np.where(undefined_B, lowest, draws_B), alpha / 2, method="lower")
    high = np.quantile(np.where(undefined_B, highest, draws_B), 1 - alpha / 2, method="higher")
    return float(low), float(high)


def times_drawn(random: np.random.Generator, num_members: int, resamples: int) -> NDArray[np.float64]:
    """Return how often each member is drawn in a resample with replacement, [B, members]."""
    return random.multinomial(num_members, np.full(num_members, 1 / num_members), resamples).astype(np.float64)


def resampled_weights(
    train_N: NDArray[np.str_], evaluation_N: NDArray[np.str_], resamples: int, seed: int
) -> NDArray[np.float64]:
    """Return how often each point comes in each of `resamples` resamples of corpora, [B, N]."""
    random = generator(seed, "bootstrap of corpora and evaluation sets")
    weights_BN = np.ones((resamples, len(train_N)))
    for labels_N in (train_N, evaluation_N):
        levels, level_N = np.unique(labels_N, return_inverse=True)
        weights_BN *= times_drawn(random, len(levels), resamples)[:, level_N]
    return weights_BN


def weighted_covariances(
    weights_BN: NDArray[np.float64], columns_CN: NDArray[np.float64], group_N: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the covariances [B, C, C] of the columns around their means within groups, points weighted."""
    total_BCC = np.zeros((len(weights_BN), len(columns_CN), len(columns_CN)))
    for group in np.unique(group_N):
        inside = group_N == group
        weights_Bn = weights_BN[:, inside]
        columns_Cn = columns_CN[:, inside] - columns_CN[:, inside].mean(1, keepdims=True)  # against cancellation
        sums_BC = weights_Bn @ columns_Cn.T
        size_B11 = np.maximum(weights_Bn.sum(1), 1)[:, None, None]  # a group that was not drawn has sums of 0
        products_CCn = columns_Cn[:, None] * columns_Cn
        total_BCC += np.einsum("bn,cdn->bcd", weights_Bn, products_CCn, optimize=True)
        total_BCC -= sums_BC[:, :, None] * sums_BC[:, None, :] / size_B11
    with np.errstate(invalid="ignore"):  # nan for a resample of pairs of which none exists
        return total_BCC / weights_BN.sum(1)[:, None, None]
