"""Train documents in random order: the control of every ordering."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Seed, checked
from delt_exp.rows.candidates import Candidates
from delt_exp.rows.draws import generator
from delt_exp.rows.ranking import rank_ids


@checked
def shuffle(candidates: Candidates, *, seed: Seed) -> NDArray[np.intp]:
    """Return a uniformly random permutation, drawn over the documents sorted by id; scores are not read."""
    positions = generator(seed, "random order").permutation(len(candidates))
    return rank_ids(candidates.ids)[positions]
