"""What selectors and orderers see: columns that fit, or an error that says which do not."""

import numpy as np
import pytest

from delt_exp.dataset.base import Document
from delt_exp.errors import DataError
from delt_exp.rows.candidates import Candidates
from tests.helpers import make_corpus

IDS = np.array([7, 3, 5, 9], dtype=np.uint64)
GOODNESS = np.array([0.5, 2, -1, 0], dtype=np.float32)
GROUPS = np.array([1, 0, 1, 2], dtype=np.uint32)
NAMES = ["books", "news", "code"]


def half_of_each_group(candidates):
    """A selector with quotas: the best half of every source."""
    kept = []
    for group in range(len(candidates.group_names)):
        rows = np.flatnonzero(candidates.groups == group)
        kept.append(rows[np.argsort(-candidates.goodness[rows])][: (len(rows) + 1) // 2])
    return np.sort(np.concatenate(kept))


def test_a_selector_can_keep_a_share_of_every_source():
    np.testing.assert_array_equal(half_of_each_group(Candidates(IDS, GOODNESS, GROUPS, NAMES)), [0, 1, 3])


def test_taking_rows_keeps_each_document_whole():
    taken = Candidates(IDS, GOODNESS, GROUPS, NAMES).take(np.array([3, 0]))
    assert (taken.ids.tolist(), taken.goodness.tolist(), taken.groups.tolist()) == ([9, 7], [0, 0.5], [2, 1])
    assert taken.group_names == NAMES


def test_the_groups_of_a_corpus_are_its_sources(tmp_path):
    corpus = make_corpus(tmp_path, [Document("a", source="x"), Document("b", source="y"), Document("c", source="x")])
    candidates = corpus.candidates(np.zeros(3, np.float32))
    assert [candidates.group_names[group] for group in candidates.groups] == ["x", "y", "x"]
    np.testing.assert_array_equal(candidates.ids, corpus.ids)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (GROUPS[:3], r"groups uint32\[3\] do not fit 4 documents"),
        (GROUPS.astype(np.float32), r"groups float32\[4\] do not fit 4 documents"),
        (np.array([0, 1, 2, 3]), r"groups lie in 0 \.\. 3, but 3 groups have a name"),
    ],
)
def test_groups_that_do_not_fit_are_refused(groups, message):
    with pytest.raises(DataError, match=message):
        Candidates(IDS, GOODNESS, groups, NAMES)


def test_goodness_that_is_not_finite_is_refused():
    with pytest.raises(DataError, match="the score of row 1 is nan"):
        Candidates.ungrouped(IDS, np.array([0, np.nan, 0, 0], np.float32))
