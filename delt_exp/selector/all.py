"""Keep every document."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import ConfigError
from delt_exp.rows.candidates import Candidates
from delt_exp.selector import ignores_scores


@ignores_scores
def keep_all(candidates: Candidates) -> NDArray[np.intp]:
    """Return all rows; raises ConfigError for an empty corpus."""
    if not len(candidates):
        raise ConfigError("selector=all has no documents to keep; choose a train_dataset with documents")
    return np.arange(len(candidates))
