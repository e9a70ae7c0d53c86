"""Which documents of a text a metric looks at."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.draws import random_rows


def drawn(ids: NDArray[np.uint64], max_documents: int | None, seed: int) -> NDArray[np.intp]:
    """Return the positions of at most `max_documents` random documents (None: all), in order; a draw per id."""
    return random_rows(ids, len(ids) if max_documents is None else max_documents, seed, "documents of an alignment")
