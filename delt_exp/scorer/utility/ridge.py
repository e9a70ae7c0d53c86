"""The worth of proxies to ridge regression, of any set and along an order.

T target documents, C proxies, D numbers of a vector, L labels, M sets, B proxies of a block.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from delt_exp.scorer.utility.game import Floats, Sets

BLOCK = 64  # proxies of one pass over the inverse
REFRESH = 1024  # proxies after which the inverse is computed anew, so that rounding does not add up


@dataclass(frozen=True, eq=False)
class RidgeWorth:
    """-MSE on the target of ridge regression on a set, without intercept; of nothing it predicts 0.

    Outputs are rows of L numbers, [C, L] and [T, L]; a single output is one column.

    The squared error is summed over outputs and averaged over target rows. `of` solves each set by itself; `along` has
    all beginnings of an order at once.
    """

    inputs_CD: Floats
    outputs_CL: Floats
    target_TD: Floats
    target_TL: Floats
    penalty: float

    def of(self, sets_MC: Sets) -> Floats:
        return np.array([self._of_one(np.flatnonzero(members_C)) for members_C in sets_MC])

    def _of_one(self, members: NDArray[np.intp]) -> float:
        inputs_SD, outputs_SL = self.inputs_CD[members], self.outputs_CL[members]
        if len(members) < inputs_SD.shape[1]:  # the smaller of two equivalent systems
            gram = inputs_SD @ inputs_SD.T + self.penalty * np.eye(len(members))
            weights_DL = inputs_SD.T @ np.linalg.solve(gram, outputs_SL)
        else:
            gram = inputs_SD.T @ inputs_SD + self.penalty * np.eye(inputs_SD.shape[1])
            weights_DL = np.linalg.solve(gram, inputs_SD.T @ outputs_SL)
        return -float(np.square(self.target_TD @ weights_DL - self.target_TL).sum(1).mean())

    def along(self, order_C: NDArray[np.intp]) -> Iterator[float]:
        """Yield the worth of the first proxy of an order, of the first two, and so on; O(D^2) each."""
        gram_DD = self.penalty * np.eye(self.inputs_CD.shape[1])
        products_DL = np.zeros((len(gram_DD), self.outputs_CL.shape[1]))
        for begin in range(0, len(order_C), REFRESH):
            members = order_C[begin : begin + REFRESH]
            yield from self._added(np.asarray(np.linalg.inv(gram_DD), np.float64), products_DL, members)
            if begin + REFRESH < len(order_C):
                gram_DD += self.inputs_CD[members].T @ self.inputs_CD[members]
                products_DL += self.inputs_CD[members].T @ self.outputs_CL[members]

    def _added(self, inverse_DD: Floats, products_DL: Floats, members: NDArray[np.intp]) -> Iterator[float]:
        """Yield the worth after each of `members` more; inverse_DD: of X^T X + penalty of those before them.

        Adding the rows X_B of a block turns the inverse A into A - V V^T and the weights W into W + V Z, with F F^T =
        I + X_B A X_B^T (Cholesky), V = A X_B^T F^-T and Z = F^-1 (Y_B - X_B W). The first b columns of V and rows of Z
        are those of the first b proxies of the block, and give the error after each of them.
        """
        inverse_DD, weights_DL = inverse_DD.copy(), inverse_DD @ products_DL
        for begin in range(0, len(members), BLOCK):
            block = members[begin : begin + BLOCK]
            inputs_BD = self.inputs_CD[block]
            spread_BD = inputs_BD @ inverse_DD
            factor_BB = np.linalg.cholesky(np.eye(len(block)) + spread_BD @ inputs_BD.T)
            wrong_BL = self.outputs_CL[block] - inputs_BD @ weights_DL
            moves_BD, steps_BL = (np.linalg.solve(factor_BB, part) for part in (spread_BD, wrong_BL))
            yield from (-self._errors(weights_DL, moves_BD, steps_BL)).tolist()
            inverse_DD -= moves_BD.T @ moves_BD
            weights_DL += moves_BD.T @ steps_BL

    def _errors(self, weights_DL: Floats, moves_BD: Floats, steps_BL: Floats) -> Floats:
        """Return [B] the error on the target at weights that move by the first b products of moves and steps."""
        gram_DD, products_DL, square = self._of_target
        slope_DL = gram_DD @ weights_DL - products_DL
        error = float((weights_DL * (slope_DL - products_DL)).sum()) + square
        slopes_B = (moves_BD @ slope_DL * steps_BL).sum(1)
        curves_BB = (moves_BD @ gram_DD @ moves_BD.T) * (steps_BL @ steps_BL.T)
        return np.asarray(error + 2 * slopes_B.cumsum() + curves_BB.cumsum(0).cumsum(1).diagonal())

    @cached_property
    def _of_target(self) -> tuple[Floats, Floats, float]:
        """Moments of the target, of which the error is a quadratic: inputs, inputs with outputs, and outputs."""
        count, inputs_TD, outputs_TL = len(self.target_TD), self.target_TD, self.target_TL
        return inputs_TD.T @ inputs_TD / count, inputs_TD.T @ outputs_TL / count, float((outputs_TL**2).sum() / count)
