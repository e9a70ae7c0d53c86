"""Equal shares."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.mixture.sources import Sources


def uniform(sources: Sources) -> NDArray[np.float64]:
    """Return 1 / G for each of G sources. Small sources may repeat without a limit; see the page of the run."""
    return np.full(len(sources.names), 1 / len(sources.names))
