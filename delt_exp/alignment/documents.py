"""Which documents of a text a metric looks at."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.draws import uniform_per_id


def drawn(ids: NDArray[np.uint64], max_documents: int | None, seed: int) -> NDArray[np.intp]:
    """Return the positions of at most `max_documents` random documents (None: all), in order; a draw per id."""
    if max_documents is None or len(ids) <= max_documents:
        return np.arange(len(ids))
    return np.sort(np.argsort(uniform_per_id(ids, seed), kind="stable")[:max_documents])
