"""identity leaves the corpus as it is."""

import numpy as np

from delt_exp.orderer.identity import identity
from delt_exp.rows.candidates import Candidates

READS_ROW_ORDER = True  # the corpus order is what it promises


def test_rows_keep_their_places_whatever_the_scores():
    ids, scores = np.array([9, 1, 9], dtype=np.uint64), np.array([3, 2, 1], dtype=np.float32)
    np.testing.assert_array_equal(identity(Candidates.ungrouped(ids, scores)), [0, 1, 2])
