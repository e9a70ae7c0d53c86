import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from delt_exp.dataset.base import Document
from delt_exp.dataset.parquet import Parquet
from delt_exp.errors import DataError
from tests.dataset.records import SETTINGS


def write(path, columns):
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return str(path)


def test_rows_become_documents_in_order(tmp_path):
    path = write(tmp_path / "a.parquet", {"text": ["a", "b", "c"], "turns": [["x", "y"]] * 3, "id": [1, 2, 3]})
    data = Parquet(**{**SETTINGS, "path": path, "prompt": "{turns[1]}: "})
    assert list(data.documents()) == [Document(text, "y: ", "mine") for text in "abc"]
    assert list(data.documents()) == list(data.documents())


def test_more_rows_than_a_batch_arrive_whole(tmp_path):
    path = write(tmp_path / "a.parquet", {"text": [str(row) for row in range(3000)]})
    documents = Parquet(**{**SETTINGS, "path": path, "max_documents": 2500}).documents()
    assert [document.text for document in documents] == [str(row) for row in range(2500)]


def test_a_missing_column_names_the_file_and_the_columns(tmp_path):
    path = write(tmp_path / "a.parquet", {"body": ["a"], "id": [1]})
    with pytest.raises(DataError, match=r"a\.parquet: no column 'text'.*columns are: body, id"):
        next(Parquet(**SETTINGS, path=path).documents())


@pytest.mark.parametrize(("values", "kind"), [([1, 2], "int"), (["a", None], "null")])
def test_a_value_that_is_not_text_names_the_row(tmp_path, values, kind):
    path = write(tmp_path / "a.parquet", {"text": values})
    with pytest.raises(DataError, match=rf"a\.parquet: row [12]: .* {kind}, not text"):
        list(Parquet(**SETTINGS, path=path).documents())


def test_bytes_that_are_not_utf8_are_an_error(tmp_path):
    column = pa.array([b"ok", b"\xe9"]).view(pa.string())
    path = write(tmp_path / "a.parquet", {"text": column})
    with pytest.raises(DataError, match=r"a\.parquet: not readable"):
        list(Parquet(**SETTINGS, path=path).documents())


def test_a_file_that_is_not_parquet_and_one_without_rows_are_errors(tmp_path):
    (tmp_path / "a.parquet").write_text("text\n")
    with pytest.raises(DataError, match=r"a\.parquet: not readable as Parquet"):
        list(Parquet(**SETTINGS, path=str(tmp_path / "a.parquet")).documents())
    path = write(tmp_path / "b.parquet", {"text": pa.array([], pa.string())})
    with pytest.raises(DataError, match=r"b\.parquet holds no record"):
        list(Parquet(**SETTINGS, path=path).documents())


def test_records_come_from_all_files_but_empty_ones_as_documents_do(tmp_path):
    write(tmp_path / "a.parquet", {"text": ["a"], "url": ["x"]})
    (tmp_path / "b.parquet").touch()
    data = Parquet(**SETTINGS, path=str(tmp_path))
    assert [(record, document.text) for record, document in data.recorded()] == [({"text": "a", "url": "x"}, "a")]
