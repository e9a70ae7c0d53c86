"""Local disorder on top of another order (arXiv:2605.30334)."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import NonNegativeInt, Seed, checked
from delt_exp.orderer import Orderer
from delt_exp.rows.candidates import Candidates
from delt_exp.rows.draws import generator


@checked
def jitter(candidates: Candidates, *, base: Orderer, window: NonNegativeInt, seed: Seed) -> NDArray[np.intp]:
    """Return the order of `base` with each run of `window` documents shuffled; no document leaves its run.

    The last run may be shorter. A window of 0 (or 1) changes nothing.
    """
    rng = generator(seed, "jitter of an order")
    rows = base(candidates)
    if window < 2:
        return rows
    whole, tail = np.split(rows, [len(rows) - len(rows) % window])
    return np.concatenate([rng.permuted(whole.reshape(-1, window), axis=1).ravel(), rng.permutation(tail)])
