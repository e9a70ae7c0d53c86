"""Scores from a file go to the documents they are of."""

import gzip
import json
import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from delt_exp.errors import ConfigError, DataError
from delt_exp.quantity import Meaning
from delt_exp.scorer.length import LengthScorer
from delt_exp.scorer.stored import StoredScorer
from delt_exp.scorer.table import ScoreTable
from tests.helpers import make_corpus, make_pool, words

MEANING = Meaning("worth", "points", "lower", "What somebody found each document worth.")


def of(path, **settings):
    return StoredScorer(**{"path": str(path), "by": "id", "key": None, "column": "score", "better": None} | settings)


def stored(folder, ids):
    """A scorer of a table with the scores 0, 1, 2 ..."""
    path = folder / "scores.parquet"
    ScoreTable(np.asarray(ids), np.arange(len(ids), dtype=np.float32), MEANING).save(path)
    return of(path)


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
    again = of(tmp_path / "scores.parquet")
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


def test_a_file_that_is_neither_table_nor_json_is_named_with_its_line(tmp_path):
    path = tmp_path / "scores.parquet"
    path.write_text("id,score\n")
    with pytest.raises(DataError, match=r"scores.parquet:1"):
        of(path, better="higher").score(make_pool(tmp_path, words(2)))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"scorer.path=.*nowhere.parquet: there is no such file"):
        of(tmp_path / "nowhere.parquet").fingerprint()


def written(folder, name, columns):
    """A file of these columns in the format of its name."""
    path = folder / name
    if name.endswith(".parquet"):
        pq.write_table(pa.table(columns), path)
        return path
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    if name.endswith(".csv"):
        lines = [",".join(columns), *(",".join("" if v is None else str(v) for v in row.values()) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    else:
        raw = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


def test_a_packed_csv_is_a_csv(tmp_path):
    path = tmp_path / "scores.csv.gz"
    path.write_bytes(gzip.compress(b"row,score\n1,5\n0,3\n"))
    assert of(path, by="row", better="higher").score(make_pool(tmp_path, words(2))).tolist() == [3, 5]


FILES = ["scores.parquet", "scores.csv", "scores.jsonl", "scores.jsonl.gz"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("write", [int, lambda i: f"{i:016x}"])
def test_other_programs_name_documents_by_id_as_numbers_or_hexadecimal_digits(tmp_path, name, write):
    pool = make_pool(tmp_path, words(6))
    ids = [write(int(i)) for i in pool.ids[::-1]]
    columns = {"id": ids if isinstance(ids[0], str) or "parquet" not in name else np.array(ids, np.uint64)}
    path = written(tmp_path, name, columns | {"quality": [5.5, 4, 3, 2, 1, 0]})
    scorer = of(path, column="quality", better="lower")
    assert scorer.score(pool).tolist() == [0, 1, 2, 3, 4, 5.5]
    assert (scorer.meaning.name, scorer.meaning.better) == ("quality", "lower")


@pytest.mark.parametrize("name", FILES)
def test_rows_are_those_of_the_candidates_and_without_them_the_order_counts(tmp_path, name):
    pool = make_pool(tmp_path, words(3))
    by_row = written(tmp_path, f"by_{name}", {"row": [2, 0, 1], "score": [0.5, 1.5, 2.5]})
    in_order = written(tmp_path, name, {"score": [1.5, 2.5, 0.5]})
    for path in (by_row, in_order):
        assert of(path, by="row", better="higher").score(pool).tolist() == [1.5, 2.5, 0.5]
    assert of(by_row, by="row", better="higher").score(replace(pool, chosen=np.array([2]))).tolist() == [0.5]


# As in a line of ODA-DataScorer's pointwise_scores.jsonl, whose ids count the records of the file that it read.
ODA = [
    {"id": 2, "scores": {"PPLScorer": {"score": 7.5}, "TokenLengthScorer": {"instruction_tokens": 15, "score": 120}}},
    {"id": 0, "scores": {"PPLScorer": {"score": 12.34}, "TokenLengthScorer": {"instruction_tokens": 9, "score": 80}}},
    {"id": 1, "scores": {"PPLScorer": {"score": 3.25}, "TokenLengthScorer": {"instruction_tokens": 4, "score": 30}}},
]


@pytest.mark.parametrize("name", ["scores.jsonl", "scores.parquet"])
def test_numbers_inside_objects_are_read_and_ids_that_count_records_are_rows(tmp_path, name):
    path = written(tmp_path, name, {key: [record[key] for record in ODA] for key in ("id", "scores")})
    pool = make_pool(tmp_path, words(3))
    settings = {"by": "row", "key": "id", "better": "lower"}
    scorer = of(path, column="scores[PPLScorer][score]", **settings)
    assert scorer.score(pool).tolist() == pytest.approx([12.34, 3.25, 7.5])
    assert scorer.meaning.name == "scores[PPLScorer][score]"
    assert of(path, column="scores[TokenLengthScorer][score]", **settings).score(pool).tolist() == [80, 30, 120]
    in_order = of(path, column="scores[PPLScorer][score]", by="row", better="lower")
    assert in_order.score(pool).tolist() == pytest.approx([7.5, 12.34, 3.25])


def test_ids_that_count_records_are_told_from_hashes_with_the_keys_that_read_them(tmp_path):
    path = written(tmp_path, "scores.jsonl", {key: [record[key] for record in ODA] for key in ("id", "scores")})
    scorer = of(path, column="scores[PPLScorer][score]", better="lower")
    with pytest.raises(DataError, match=r"ids are the numbers 0 to 2 .* use scorer\.by=row scorer\.key=id$"):
        scorer.score(make_pool(tmp_path, words(3)))


@pytest.mark.parametrize("name", ["scores.jsonl", "scores.parquet"])
@pytest.mark.parametrize(
    ("column", "key"), [("scores[IFDScorer][score]", None), ("scores[", None), ("id[x]", None), ("id", "index")]
)
def test_a_way_into_an_object_that_leads_nowhere_is_told(tmp_path, name, column, key):
    path = written(tmp_path, name, {key: [record[key] for record in ODA] for key in ("id", "scores")})
    with pytest.raises(DataError, match=rf"no column '{re.escape(key or column)}'; it has (id|scores|id, scores);"):
        of(path, column=column, by="row", key=key, better="lower").score(make_pool(tmp_path, words(3)))


@pytest.mark.parametrize("name", FILES)
def test_a_column_whose_own_name_has_brackets_is_that_column(tmp_path, name):
    path = written(tmp_path, name, {"a[b]": [1.0, 2.0]})
    assert of(path, column="a[b]", by="row", better="lower").score(make_pool(tmp_path, words(2))).tolist() == [1, 2]


@pytest.mark.parametrize("rows", [[0, 1], [0, 1, 3], [0, 1, 1], [0, 1, 2, 3]])
def test_rows_that_are_not_those_of_the_candidates_are_refused(tmp_path, rows):
    path = written(tmp_path, "scores.csv", {"row": rows, "score": [1] * len(rows)})
    with pytest.raises(DataError, match=r"but there are 3 candidates, rows 0 to 2; .*drop_duplicates=false"):
        of(path, by="row", better="higher").score(make_pool(tmp_path, words(3)))


@pytest.mark.parametrize("name", FILES)
def test_a_document_without_a_number_is_named(tmp_path, name):
    path = written(tmp_path, name, {"score": [1.0, None, 2.0], "note": ["", "", ""]})
    with pytest.raises(
        DataError, match=r"score is missing or not finite for 1 of 3 documents, the first in row 1 \(id"
    ):
        of(path, by="row", better="higher").score(make_pool(tmp_path, words(3)))


@pytest.mark.parametrize("name", FILES)
def test_a_column_that_is_not_there_is_told_with_those_that_are(tmp_path, name):
    path = written(tmp_path, name, {"row": [0], "quality": [1.0]})
    with pytest.raises(DataError, match=r"no column 'score'; it has row, quality; set scorer.column"):
        of(path, by="row", better="higher").score(make_pool(tmp_path, words(1)))
    with pytest.raises(DataError, match=r"no column 'id'; it has row, quality"):
        of(path, column="quality", better="higher").score(make_pool(tmp_path, words(1)))


@pytest.mark.parametrize("name", FILES)
def test_values_that_are_no_numbers_are_told(tmp_path, name):
    path = written(tmp_path, name, {"score": ["good"]})
    with pytest.raises(DataError, match=r"not numbers|score='good' is not a number"):
        of(path, by="row", better="higher").score(make_pool(tmp_path, words(1)))


@pytest.mark.parametrize(("value", "by"), [("x", "id"), (-1, "id"), (2**64, "id"), (0.5, "row"), ("one", "row")])
def test_a_key_that_names_no_document_is_told(tmp_path, value, by):
    path = written(tmp_path, "scores.jsonl", {by: [value], "score": [1]})
    with pytest.raises(DataError, match=rf"{by}={value!r} in record 1 is not"):
        of(path, by=by, better="higher").score(make_pool(tmp_path, words(1)))


def test_rows_in_some_records_only_are_refused(tmp_path):
    path = tmp_path / "scores.jsonl"
    path.write_text('{"score": 1}\n{"score": 2, "row": 0}\n')
    with pytest.raises(DataError, match=r"scores.jsonl:2: only some records have a row"):
        of(path, by="row", better="higher").score(make_pool(tmp_path, words(2)))


def test_a_file_that_does_not_say_its_direction_needs_it(tmp_path):
    path = written(tmp_path, "scores.csv", {"score": [1]})
    with pytest.raises(ConfigError, match=r"does not say which of its numbers are better; give scorer.better"):
        of(path, by="row").fingerprint()


def test_a_direction_that_is_given_goes_before_that_of_the_file(tmp_path):
    pool = make_pool(tmp_path, words(2))
    path = stored(tmp_path, pool.ids).path
    assert of(path, better="higher").meaning.better == "higher"
    assert of(path, better="lower").meaning == MEANING


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "scores.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"scores.parquet cannot be read as Parquet \(.*\); write it again"):
        of(path).fingerprint()


def test_a_column_of_long_texts_beside_the_score_is_no_obstacle_and_a_row_too_long_is_named(tmp_path):
    pool = make_pool(tmp_path, ["a b", "c d"])
    path = tmp_path / "wide.csv"
    path.write_text(f"row,score,text\n0,2,{'x' * 200_000}\n1,3,y\n")
    assert of(path, by="row", better="higher").score(pool).tolist() == [2, 3]
    path.write_text("row,score\n0,2\n1,3,y\n")
    with pytest.raises(DataError, match=r"wide\.csv:3: the row has more cells than the header; quote a cell"):
        of(path, by="row", better="higher").score(pool)
