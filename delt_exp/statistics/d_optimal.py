"""Greedy D-optimal design: candidates that add most to what is known, one after the other.

With V = ridge I + sum phi phi^T over what is labelled and picked, every pick is the candidate of largest
||phi||_{V^-1}, which is the one that raises log det V most (by log(1 + ||phi||^2_{V^-1})).

V is K x K and is never formed. P are the M rows of V's sum, A the Cholesky factor of P P^T + ridge I, which is M x M
and gains a row with each pick. With l = A^-1 P phi, the squared norm is (||phi||^2 - ||l||^2) / ridge (Woodbury): a
pivoted Cholesky factorisation, O(N K) for a pick. What remains is memory traffic: each pick would read all features
once. So candidates are evaluated lazily: a residual ||phi||^2 - ||l||^2 only ever falls, and one that was too small
some picks ago need not be brought up to date (Minoux 1978). Candidates that may win are brought up to date in blocks,
by one matrix product over all the picks that they have missed. No product is computed twice, and features may stay in
float32 or in a file, because only one block of them at a time is in float64.

Shapes: N candidates, K features, M rows of V's sum, m of them new to a candidate, b candidates of a block.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from threadpoolctl import threadpool_limits

from delt_exp.config.fields import Count, PositiveFloat, check_value
from delt_exp.errors import ConfigError, DataError

Floats = NDArray[np.floating[Any]]
_BLOCK = 32  # candidates brought up to date at once; larger blocks evaluate candidates that could wait


def greedy_d_optimal(
    features_NK: Floats, count: int, *, ridge: float, labelled_MK: Floats | None = None, rounding: float = 1e-12
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return `count` rows in the order in which they are picked, and each one's ||phi||_{V^-1} when it was picked.

    labelled_MK: what V holds before the first pick. rounding: of ||phi||^2; candidates whose squared norms times the
    ridge differ by less tie, and ties go to the smaller row. It is at least the 1e-12 by which these differ with the
    block that a candidate was in; 1e-6 for features that were rounded to float32. Arithmetic is float64, whatever the
    type of the features; a score is known to about 1e-16 ||phi||^2 / (ridge score^2) of itself.
    Memory beside the features: (N + K) (M + count) numbers. Raises ConfigError for a ridge that is not above 0 or for
    more picks than candidates, DataError for features that are not finite, of unequal length, or all 0.
    """
    check_value("ridge", ridge, PositiveFloat)
    check_value("count", count, Count)
    if count > len(features_NK):
        raise ConfigError(f"{count} picks of {len(features_NK)} candidates; pick at most {len(features_NK)}")
    labelled_MK = features_NK[:0] if labelled_MK is None else labelled_MK
    if features_NK.shape[1:] != labelled_MK.shape[1:] or features_NK.ndim != 2:
        raise DataError(
            f"candidates {list(features_NK.shape)} and labelled rows {list(labelled_MK.shape)} do not have features "
            "of one length; make both with the same projection"
        )
    # Threads of OpenBLAS spin while they wait for each other at every small product: beside other busy processes two
    # took 181 s for what one does in 7 s. One also gives the same bits on every machine.
    with threadpool_limits(1, "blas"):
        design = _Design(features_NK, labelled_MK, count, ridge, rounding)
        picked = [design.pick() for _ in range(count)]
    rows, scores = zip(*picked, strict=True)
    return np.array(rows, np.intp), np.array(scores)


class _Design:
    """A and P as they grow, and what is known of each candidate: its residual after `known` rows of P, and its l."""

    def __init__(self, features_NK: Floats, labelled_MK: Floats, count: int, ridge: float, rounding: float) -> None:
        self._features_NK, self._ridge, self._size = features_NK, ridge, len(labelled_MK)
        size, num_candidates = self._size + count, len(features_NK)
        self._P = np.empty((size, features_NK.shape[1]))
        self._A = np.zeros((size, size))
        self._P[: self._size] = labelled_MK
        _squares(self._P[: self._size], "labelled row")
        gram_MM = self._P[: self._size] @ self._P[: self._size].T
        self._A[: self._size, : self._size] = np.linalg.cholesky(gram_MM + ridge * np.eye(self._size))
        self._l_NM = np.zeros((num_candidates, size))
        self._residual_N = _squares(features_NK, "candidate")
        if not self._residual_N.any():
            raise DataError(f"the features of all {num_candidates} candidates are 0, so they cannot be distinguished")
        self._rounding_N = rounding * self._residual_N
        self._known_N = np.zeros(num_candidates, np.intp)
        self._is_open_N = np.ones(num_candidates, np.bool_)

    def pick(self) -> tuple[int, float]:
        """Add the best candidate to the design; return its row and its score."""
        while len(stale := self._stale()):
            self._bring_up_to_date(stale)
        best = self._may_be_best()[0]
        residual = self._residual_N[best]
        self._P[self._size] = self._features_NK[best]
        self._A[self._size, : self._size] = self._l_NM[best, : self._size]
        self._A[self._size, self._size] = np.sqrt(residual + self._ridge)
        self._is_open_N[best] = False
        self._size += 1
        return int(best), float(np.sqrt(residual / self._ridge))

    def _stale(self) -> NDArray[np.intp]:
        """Return some of the candidates that may be best and miss picks: the most promising, and like it."""
        may_be_best = self._may_be_best()
        stale = may_be_best[self._known_N[may_be_best] < self._size]
        if not len(stale):
            return stale
        # Candidates that miss the same picks share one matrix product, and take none twice.
        first = stale[self._residual_N[stale].argmax()]
        alike = stale[self._known_N[stale] == self._known_N[first]]
        return alike[np.argsort(-self._residual_N[alike], kind="stable")[:_BLOCK]]

    def _may_be_best(self) -> NDArray[np.intp]:
        """Return the candidates whose residual, as far as it is known, is not below the highest one for certain."""
        is_fresh = self._is_open_N & (self._known_N == self._size)
        highest = self._residual_N[is_fresh].max(initial=0.0)
        return np.flatnonzero(self._is_open_N & (self._residual_N + self._rounding_N >= highest))

    def _bring_up_to_date(self, rows: NDArray[np.intp]) -> None:
        old, new = slice(0, self._known_N[rows[0]]), slice(self._known_N[rows[0]], self._size)
        features_bK = self._features_NK[rows].astype(np.float64)
        products_mb = self._P[new] @ features_bK.T - self._A[new, old] @ self._l_NM[rows, old].T
        l_mb = solve_triangular(self._A[new, new], products_mb, lower=True, check_finite=False)
        self._l_NM[rows, new] = l_mb.T
        # Rounding can take the residual of what is already known below 0.
        self._residual_N[rows] = np.maximum(self._residual_N[rows] - np.square(l_mb).sum(0), 0)
        self._known_N[rows] = self._size


def _squares(features: Floats, what: str) -> NDArray[np.float64]:
    """Return ||phi||^2 of every row in float64; raises DataError for a row that is not finite."""
    squares = np.empty(len(features))
    for begin in range(0, len(features), _BLOCK):
        block = features[begin : begin + _BLOCK].astype(np.float64)
        squares[begin : begin + _BLOCK] = np.einsum("nk,nk->n", block, block)
    bad = np.flatnonzero(~np.isfinite(squares))
    if len(bad):
        raise DataError(f"{what} {bad[0]} has features that are not finite ({len(bad)} such rows)")
    return squares
