import pytest

from delt_exp.dataset.text import Text
from delt_exp.errors import ConfigError, DataError

CONTENT = "One.\nStill one.\n\n \t\nTwo.\r\n\nThree"


def dataset(path, unit):
    return Text(path=str(path), split=None, name="mine", max_documents=None, unit=unit)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("file", [CONTENT]),
        ("paragraph", ["One.\nStill one.", "Two.", "Three"]),
        ("line", ["One.", "Still one.", "", " \t", "Two.", "", "Three"]),
    ],
)
def test_the_unit_decides_what_a_document_is(tmp_path, unit, expected):
    (tmp_path / "a.txt").write_bytes(CONTENT.encode())
    documents = list(dataset(tmp_path / "*.txt", unit).documents())
    assert [document.text for document in documents] == expected
    assert {document.source for document in documents} == {"mine"}


def test_an_unknown_unit_is_an_error():
    with pytest.raises(ConfigError, match=r"unit='word'.*file, paragraph, line"):
        dataset("a.txt", "word")


def test_bytes_that_are_not_utf8_name_line_and_offset(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"caf\xc3\xa9\ncaf\xe9\n")
    with pytest.raises(DataError, match=r"a\.txt:2: byte 0xe9 at offset 9 is not UTF-8"):
        list(dataset(tmp_path / "a.txt", "file").documents())


def test_a_file_without_paragraphs_is_an_error(tmp_path):
    (tmp_path / "a.txt").write_text("\n\n")
    with pytest.raises(DataError, match=r"holds no record"):
        list(dataset(tmp_path / "a.txt", "paragraph").documents())
