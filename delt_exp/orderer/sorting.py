"""Train documents by score, the plain curriculum."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.checks import check_flag
from delt_exp.rows.candidates import Candidates
from delt_exp.rows.ranking import rank


def sorting(candidates: Candidates, *, ascending: bool) -> NDArray[np.intp]:
    """Return the rows from lowest to highest score, or from highest to lowest; ties go by ascending id either way."""
    check_flag("orderer.ascending", ascending)
    return rank(candidates.ids, candidates.goodness if ascending else -candidates.goodness)
