"""Documents drawn at random, in random order: what every choice and every order has to beat."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Seed, checked
from delt_exp.orderer.shuffle import shuffle
from delt_exp.rows.candidates import Candidates
from delt_exp.rows.ranking import best_rows
from delt_exp.scorer.random import random_scores


@checked
def shuffled(candidates: Candidates, num_kept: int, *, seed: Seed) -> NDArray[np.intp]:
    """Return the `num_kept` documents of highest random score in random order; scores of the run are not read.

    The same as scorer=random, a selector that keeps the best, and orderer=shuffle, so that they share what is trained.
    """
    kept = best_rows(candidates.ids, random_scores(candidates.ids, seed), num_kept)
    return kept[shuffle(candidates.take(kept), seed=seed)]
