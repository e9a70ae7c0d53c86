"""Train documents by score, the plain curriculum."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.checks import check_flag
from delt_exp.rows.ranking import rank


def sorting(ids: NDArray[np.uint64], scores: NDArray[np.float32], *, ascending: bool) -> NDArray[np.intp]:
    """Return the rows from lowest to highest score, or from highest to lowest; ties go by ascending id either way."""
    check_flag("orderer.ascending", ascending)
    return rank(ids, scores if ascending else -scores)
