"""Keep the best share of the corpus."""

import math

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import PositiveShare, checked
from delt_exp.errors import ConfigError
from delt_exp.rows.candidates import Candidates
from delt_exp.rows.ranking import best_rows, floor_share


@checked
def top_r(candidates: Candidates, *, ratio: PositiveShare) -> NDArray[np.intp]:
    """Return the floor(ratio * N) rows of highest score, in row order; of tied scores the higher ids stay."""
    num_kept = count_of(ratio, len(candidates))
    return best_rows(candidates.ids, candidates.goodness, num_kept)


def count_of(ratio: PositiveShare, num_rows: int) -> int:
    """Return floor(ratio * num_rows), at least 1; raises ConfigError for a ratio that gives 0."""
    count = floor_share(ratio, num_rows)
    if count == 0:
        raise ConfigError(
            f"selector.ratio={ratio} keeps none of {num_rows} documents; "
            f"raise selector.ratio or use a corpus of at least {math.ceil(1 / ratio)} documents"
        )
    return count
