"""Keep the best share of the corpus."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import PositiveShare, checked
from delt_exp.rows.candidates import Candidates
from delt_exp.selector.budget import Unit, best_within, share_of


@checked
def top_r(candidates: Candidates, *, ratio: PositiveShare, unit: Unit) -> NDArray[np.intp]:
    """Return the rows of highest score, in row order; of tied scores the higher ids stay.

    floor(ratio * N) of N documents, or, with the unit tokens, the best ones with floor(ratio * T) of all T tokens.
    """
    return best_within(candidates, candidates.goodness, share_of(candidates, ratio, unit), unit)
