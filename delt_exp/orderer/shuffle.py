"""Train documents in random order: the control of every ordering."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.rows.draws import generator
from delt_exp.rows.ranking import rank_ids


def shuffle(ids: NDArray[np.uint64], scores: NDArray[np.float32], *, seed: int) -> NDArray[np.intp]:
    """Return a uniformly random permutation, drawn over the documents sorted by id; scores are not read."""
    positions = generator(seed, "random order").permutation(len(ids))
    return rank_ids(ids)[positions]
