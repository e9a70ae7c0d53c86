"""The score table checks itself, turns scores into goodness and comes back from disk as it was."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delt_exp.errors import DataError
from delt_exp.quantity import Meaning
from delt_exp.scorer.table import ScoreTable

LOSS = Meaning("mean token loss", "nats/token", "lower", "Low where the text is easy.")
QUALITY = Meaning("quality", "none", "higher", "High where the text is good: «ünicode».")


def table(scores, meaning=QUALITY, ids=None):
    scores = np.asarray(scores, np.float32)
    return ScoreTable(np.arange(len(scores), dtype=np.uint64) if ids is None else ids, scores, meaning)


@pytest.mark.slow
@settings(deadline=None)  # writes files
@given(
    rows=st.lists(st.tuples(st.integers(0, 2**64 - 1), st.floats(width=32, allow_nan=False, allow_infinity=False))),
    meaning=st.sampled_from([LOSS, QUALITY]),
)
def test_a_saved_table_comes_back_bit_for_bit(tmp_path_factory, rows, meaning):
    before = table([s for _, s in rows], meaning, ids=np.array([i for i, _ in rows], np.uint64))
    path = tmp_path_factory.mktemp("table") / "scores.parquet"
    before.save(path)
    after = ScoreTable.load(path)
    assert (after.ids.dtype, after.scores.dtype) == (np.uint64, np.float32)
    assert after.ids.tobytes() == before.ids.tobytes()
    assert after.scores.tobytes() == before.scores.tobytes()
    assert after.meaning == meaning
    assert after.digest == before.digest
    assert [f.name for f in path.parent.iterdir()] == ["scores.parquet"]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_refused_with_its_row_and_document(bad):
    with pytest.raises(DataError, match=r"1 of 3 scores of 'quality'.*row 1 \(document 0000000000000001\)"):
        table([0.5, bad, 0.25])


def test_one_number_for_each_id_is_required():
    with pytest.raises(DataError, match="one number per document"):
        table([1, 2, 3], ids=np.arange(2, dtype=np.uint64))
    with pytest.raises(DataError, match="one number per document"):
        ScoreTable(np.zeros((2, 1), np.uint64), np.zeros((2, 1), np.float32), QUALITY)


def test_goodness_is_high_for_the_better_document():
    assert table([3, 1, 2], QUALITY).goodness.tolist() == [3, 1, 2]
    assert table([3, 1, 2], LOSS).goodness.tolist() == [-3, -1, -2]


def test_the_digest_sees_ids_scores_and_direction():
    other_ids = np.array([0, 2], np.uint64)
    tables = [table([1, 2]), table([2, 1]), table([1, 2], LOSS), table([1, 2], ids=other_ids)]
    assert len({t.digest for t in tables}) == 4
    assert table([1, 2]).digest == tables[0].digest


def test_a_parquet_file_without_a_meaning_is_not_a_score_table(tmp_path):
    path = tmp_path / "plain.parquet"
    pq.write_table(pa.table({"id": [1], "score": [0.5]}), path)
    with pytest.raises(DataError, match=r"plain\.parquet is not a score table"):
        ScoreTable.load(path)
