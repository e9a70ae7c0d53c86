"""The linear datamodeling score: how well sums of scores predict what training on sets of documents brings.

Park et al. 2023 (arXiv:2303.14186), equation 4, with groups in place of documents. Shape suffixes: M sets, C groups,
P permutations.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import DataError
from delt_exp.quantity import Ranged
from delt_exp.rows.draws import generator
from delt_exp.statistics.inputs import check_lengths, check_varies, finite

Floats = NDArray[np.float64]
MIN_SETS = 4  # Fisher's z of fewer has no variance


@dataclass(frozen=True, eq=False)
class Agreement:
    """value: Spearman's correlation over the sets. permuted_P: that of scores permuted at random among groups."""

    value: float
    permuted_P: Floats
    num_sets: int

    @property
    def error(self) -> float:
        """Standard error of atanh(value) over sets, given these groups (Bonett and Wright 2000); needs MIN_SETS."""
        return float(np.sqrt((1 + self.value**2 / 2) / (self.num_sets - 3)))


def agreement(scores_C: Floats, sets_MC: NDArray[np.bool_], worth_M: Floats, permutations: int, seed: int) -> Agreement:
    """Return how well the sum of the scores of a set's groups ranks the worth of the sets.

    Raises DataError for arrays that do not fit, or a worth that is the same for all sets. Where every set has the same
    sum, the agreement is 0.
    """
    scores_C, worth_M = finite("scores", scores_C), finite("worth", worth_M)
    check_lengths(sets=sets_MC, worth=worth_M)
    check_lengths(scores=scores_C, groups=sets_MC.T)
    check_varies("worth", worth_M)
    draws = generator(seed, "permuted groups")
    dealt_PC = draws.permuted(np.tile(scores_C, (permutations, 1)), axis=1)
    values = rank_correlations(np.vstack([scores_C, dealt_PC]) @ sets_MC.T.astype(np.float64), worth_M)
    return Agreement(float(values[0]), values[1:], len(worth_M))


def rank_correlations(rows_KM: Floats, worth_M: Floats) -> Floats:
    """Return Spearman's correlation [K] of each row with the worth; 0 for a row whose numbers are all equal."""
    from scipy.stats import rankdata

    ranks_KM, own_M = rankdata(rows_KM, axis=1), rankdata(worth_M)
    ranks_KM, own_M = ranks_KM - ranks_KM.mean(1, keepdims=True), own_M - own_M.mean()
    lengths_K = np.linalg.norm(ranks_KM, axis=1)
    found_K = ranks_KM @ own_M / np.where(lengths_K > 0, lengths_K, 1) / np.linalg.norm(own_M)
    return np.asarray(found_K)


def joined(parts: list[Agreement], alpha: float) -> tuple[Ranged, float]:
    """Return the mean agreement of independent studies with its interval, and p of no relation to the groups.

    The interval is over sets, on Fisher's z. p is two-sided and by permutation of the groups, so that it also allows
    for groups with which a score without information happens to agree. Raises DataError for fewer than MIN_SETS sets.
    """
    from scipy.special import ndtri

    fewest = min(one.num_sets for one in parts)
    if fewest < MIN_SETS:
        raise DataError(f"{fewest} held-out halves; an interval needs at least {MIN_SETS}: raise scorer.num_held_out")
    z = float(np.mean([np.arctanh(np.clip(one.value, -1 + 1e-12, 1 - 1e-12)) for one in parts]))
    error = float(np.sqrt(sum(one.error**2 for one in parts))) / len(parts)
    reach = float(ndtri(1 - alpha / 2)) * error
    value = float(np.mean([one.value for one in parts]))
    permuted_P = np.mean([one.permuted_P for one in parts], axis=0)
    p = (1 + int(np.sum(np.abs(permuted_P) >= abs(value) - 1e-12))) / (1 + len(permuted_P))
    return Ranged(value, float(np.tanh(z - reach)), float(np.tanh(z + reach))), p


def perfect(reliability: float) -> float:
    """Return the correlation that an exact prediction has with a mean of two measurements of this correlation.

    Spearman 1910 and Brown 1910: the mean of two has reliability 2 r / (1 + r), and the truth correlates with it by the
    square root; 0 where the two do not agree.
    """
    return float(np.sqrt(2 * reliability / (1 + reliability))) if reliability > 0 else 0.0


def detectable(num_sets: int, num_groups: int, alpha: float) -> float:
    """Return the agreement that a two-sided permutation test at level alpha finds with power 0.8, about.

    A permuted score agrees by chance with the groups, 1 / (C - 1), and with the sets, 1 / (M - 1), of variance.
    """
    from scipy.special import ndtri

    spread = (1 / (num_sets - 1) + 1 / (num_groups - 1)) ** 0.5
    return float((ndtri(1 - alpha / 2) + ndtri(0.8)) * spread)
