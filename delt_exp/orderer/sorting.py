"""Train documents by score, the plain curriculum."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import checked
from delt_exp.rows.candidates import Candidates
from delt_exp.rows.ranking import rank


@checked
def sorting(candidates: Candidates, *, ascending: bool) -> NDArray[np.intp]:
    """Return the rows from lowest to highest score, or from highest to lowest; ties go by ascending id either way."""
    return rank(candidates.ids, candidates.goodness if ascending else -candidates.goodness)
