"""Keep a random share of the corpus: the control of every selection."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import NonNegativeInt, PositiveShare, Seed, checked
from delt_exp.rows.candidates import Candidates
from delt_exp.rows.draws import uniform_per_id
from delt_exp.selector import ignores_scores
from delt_exp.selector.budget import Unit, best_within, share_of


@checked
@ignores_scores
def random_ratio(
    candidates: Candidates, *, ratio: PositiveShare, unit: Unit, nested: bool, draw: NonNegativeInt, seed: Seed
) -> NDArray[np.intp]:
    """Return rows drawn uniformly without replacement, in row order; scores are not read.

    They are floor(ratio * N) of N documents, or drawn until they have floor(ratio * T) of all T tokens.

    The draw depends on id, seed and `draw` alone, so that a larger ratio keeps all that a smaller one keeps; without
    `nested` it depends on the ratio too. Different numbers `draw` give independent subsets under one seed.
    """
    parts = (draw, *(() if nested else (round(ratio * 1e9),))) if draw or not nested else ()
    numbers = uniform_per_id(candidates.ids, seed, "random selection", *parts)
    return best_within(candidates, numbers, share_of(candidates, ratio, unit), unit)
