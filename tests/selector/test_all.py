"""all keeps every document."""

import numpy as np
import pytest

from delt_exp.errors import ConfigError
from delt_exp.rows.candidates import Candidates
from delt_exp.selector.all import keep_all


def test_every_row_stays_in_its_place():
    np.testing.assert_array_equal(
        keep_all(Candidates.ungrouped(np.array([5, 3, 5], np.uint64), np.zeros(3, np.float32))), [0, 1, 2]
    )


def test_an_empty_corpus_is_refused():
    with pytest.raises(ConfigError, match="has no documents to keep"):
        keep_all(Candidates.ungrouped(np.zeros(0, np.uint64), np.zeros(0, np.float32)))
