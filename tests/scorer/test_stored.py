"""Scores from a file go to the documents they are of."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from delt_exp.errors import DataError
from delt_exp.quantity import Meaning
from delt_exp.scorer.length import LengthScorer
from delt_exp.scorer.stored import StoredScorer
from delt_exp.scorer.table import ScoreTable
from tests.helpers import make_corpus, make_pool, words

MEANING = Meaning("worth", "points", "lower", "What somebody found each document worth.")


def stored(folder, ids):
    """A scorer of a table with the scores 0, 1, 2 ..."""
    path = folder / "scores.parquet"
    ScoreTable(np.asarray(ids), np.arange(len(ids), dtype=np.float32), MEANING).save(path)
    return StoredScorer(str(path))


def contract_overrides(folder):
    from tests.scorer.test_contract import TEXTS  # which asks for this

    return [f"scorer.path={stored(folder, make_corpus(folder, TEXTS).ids).path}"]


def test_scores_follow_the_ids_whatever_the_order_and_whatever_else_is_there(tmp_path):
    pool = make_pool(tmp_path, words(6))
    others = make_corpus(tmp_path, words(3, seed=9)).ids
    ids = np.concatenate([others, pool.candidates.corpus.ids[::-1]])
    scorer = stored(tmp_path, ids)
    assert scorer.score(pool).tolist() == [8, 7, 6, 5, 4, 3]
    assert scorer.score(replace(pool, chosen=np.array([4, 0]))).tolist() == [4, 8]
    assert scorer.meaning == MEANING


def test_the_scores_of_a_run_are_those_of_its_scorer(tmp_path):
    pool, scorer = make_pool(tmp_path, words(6)), LengthScorer("tokens", True)
    ScoreTable(pool.candidates.corpus.ids, scorer.score(pool), scorer.meaning).save(tmp_path / "scores.parquet")
    again = StoredScorer(str(tmp_path / "scores.parquet"))
    assert again.score(pool).tobytes() == scorer.score(pool).tobytes()
    assert again.meaning == scorer.meaning


def test_other_content_has_another_key(tmp_path):
    pool = make_pool(tmp_path, words(6))
    one = stored(tmp_path, pool.ids).fingerprint()
    assert stored(tmp_path, pool.ids[::-1]).fingerprint() != one


def test_a_document_without_a_score_is_named(tmp_path):
    pool = make_pool(tmp_path, words(6))
    scorer = stored(tmp_path, np.delete(pool.ids, [2, 5]))
    with pytest.raises(DataError, match=r"no score for 2 of 6 documents, the first in row 2 \(id [0-9a-f]{16}\)"):
        scorer.score(pool)


def test_an_empty_table_has_a_score_for_nobody(tmp_path):
    pool = make_pool(tmp_path, words(6))
    with pytest.raises(DataError, match="no score for 6 of 6 documents, the first in row 0"):
        stored(tmp_path, pool.ids[:0]).score(pool)


@pytest.mark.parametrize("columns", [None, ["id"], ["id", "score"]])
def test_a_file_that_is_no_score_table_is_named(tmp_path, columns):
    path = tmp_path / "scores.parquet"
    if columns is None:
        path.write_text("id,score")
    else:
        pq.write_table(pa.table({name: [1] for name in columns}), path)
    with pytest.raises(DataError, match=r"scores.parquet is not a score table: "):
        StoredScorer(str(path)).score(make_pool(tmp_path, words(6)))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"scorer.path=.*nowhere.parquet: there is no such file"):
        StoredScorer(str(tmp_path / "nowhere.parquet")).fingerprint()
