"""Data value embeddings: one vector for each occurrence of a document, whose product with the gradient of any target at
the end of the run is the occurrence's value, with the empirical Fisher matrix for the curvature.

The recursion of the paper (arXiv 2412.09538) on sketches: y_n in place of g_n, and M [K, K] in place of [P, P]. From
the last update to the first, all occurrences of an update with the same M, which begins at 0:
    e_n = eta_t w_n (y_n - M y_n),    M <- M + sum_n e_n y_n^T
Where the gradient of the update was clipped, the first two y_n are those of what clipping makes of a small change g_n.
With whole gradients this is the sweep with `curvature: fisher`, to rounding. A sketch keeps inner products with an
error of about 1 / sqrt(K). Products in M have that error too, so that the share of the curvature is less certain.
Shapes: N occurrences of a run, K features, B occurrences in an update.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delt_exp.errors import DataError


def embed_in_place(
    features_NK: NDArray[np.float32], step_N: NDArray[np.int64], rate_N: NDArray[np.float64],
    clipping: Callable[[int, Tensor], Tensor] = lambda step, y_BK: y_BK,
) -> None:  # fmt: skip
    """Turn the sketches of mean gradients, in the order of training, into embeddings.

    step_N: the update of each occurrence, from 0. rate_N: the learning rate of that update times the share of the
    occurrence in it. clipping: from an update and the sketches of its occurrences to those after the derivative of
    clipping; see `ClippedSketches`. M is float32: in half of it the errors would feed back. Raises DataError for steps
    with a gap or out of order: whatever is missing would change all embeddings before it.
    """
    _check_steps(step_N)
    num_features = features_NK.shape[1]
    m_KK = torch.zeros(num_features, num_features)
    bounds = np.searchsorted(step_N, np.arange(step_N[-1] + 2))
    for step in range(int(step_N[-1]), -1, -1):
        first, last = bounds[step : step + 2]
        y_BK = torch.from_numpy(features_NK[first:last].copy())
        rate_B, moved_BK = torch.from_numpy(rate_N[first:last]).float(), clipping(step, y_BK)
        e_BK = rate_B[:, None] * torch.addmm(moved_BK, moved_BK, m_KK.T, alpha=-1)
        m_KK.addmm_(e_BK.T, y_BK)
        features_NK[first:last] = e_BK.numpy()


@dataclass(frozen=True, eq=False)
class ClippedSketches:
    """The derivative of clipping, in sketches: g' = c (g - <u, g> u) with the unit gradient u of the update.

    factors: c of each update, 1 where it was not clipped. norms: of its gradient. shares: of its occurrences, (B,).
    """

    factors: Sequence[float]
    norms: Sequence[float]
    shares: Sequence[Tensor]

    def __call__(self, step: int, y_BK: Tensor) -> Tensor:
        if self.factors[step] == 1:
            return y_BK
        unit_K = self.shares[step].to(y_BK) @ y_BK / self.norms[step]  # the gradient is the sum of its occurrences'
        return self.factors[step] * (y_BK - (y_BK @ unit_K)[:, None] * unit_K)


def _check_steps(step_N: NDArray[np.int64]) -> None:
    # The update before the first one is -1, and a run begins with update 0.
    wrong = np.flatnonzero(~np.isin(np.diff(step_N, prepend=-1), (0, 1)) | (step_N < 0))
    if len(wrong):
        before = "the beginning" if wrong[0] == 0 else f"update {step_N[wrong[0] - 1] + 1}"
        raise DataError(
            f"the occurrences of update {step_N[wrong[0]] + 1} follow {before}; embeddings need all updates of a run "
            "in order, each in one piece: those before a gap would all be wrong. Compute them anew"
        )
