"""Train documents as the corpus gives them."""

import numpy as np
from numpy.typing import NDArray


def identity(ids: NDArray[np.uint64], scores: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the rows in corpus order; scores are not read."""
    return np.arange(len(ids))
