"""Keep every document."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import ConfigError


def keep_all(ids: NDArray[np.uint64], scores: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return all rows; raises ConfigError for an empty corpus."""
    if not len(ids):
        raise ConfigError("selector all keeps none of 0 documents; choose a train_dataset with documents")
    return np.arange(len(ids))
