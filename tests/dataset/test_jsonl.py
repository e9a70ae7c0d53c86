import gzip
import json
import tracemalloc

import pytest

from delt_exp.dataset.base import Document
from delt_exp.dataset.jsonl import Jsonl
from delt_exp.errors import ConfigError, DataError
from tests.dataset import records

SETTINGS = {**records.SETTINGS, "na_value": None}


def dataset(path, **changes):
    return Jsonl(**{**SETTINGS, "path": str(path), **changes})


def write(path, *texts):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    return path


def texts(data):
    return [document.text for document in data.documents()]


def test_lines_become_documents_in_order_and_every_reading_is_the_same(tmp_path):
    data = dataset(write(tmp_path / "a.jsonl", "one", "", "drei ü"))
    assert list(data.documents()) == [Document(text, "", "mine") for text in ("one", "", "drei ü")]
    assert list(data.documents()) == list(data.documents())


def test_a_gzipped_file_a_byte_order_mark_and_blank_lines_read_alike(tmp_path):
    raw = b'\xef\xbb\xbf{"text": "a"}\r\n\r\n{"text": "b"}'
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(raw))
    (tmp_path / "a.jsonl").write_bytes(raw)
    assert texts(dataset(tmp_path / "a.jsonl")) == texts(dataset(tmp_path / "a.jsonl.gz")) == ["a", "b"]


def test_globs_recurse_are_sorted_and_read_a_file_once(tmp_path):
    for name in ("b.jsonl", "a.jsonl", "deep/er/c.jsonl"):
        write(tmp_path / name, name)
    assert texts(dataset(tmp_path / "**" / "*.jsonl")) == ["a.jsonl", "b.jsonl", "deep/er/c.jsonl"]
    paths = [str(tmp_path / "b.jsonl"), str(tmp_path / "*.jsonl")]
    assert texts(Jsonl(**SETTINGS, path=paths)) == ["b.jsonl", "a.jsonl"]


def test_a_name_with_glob_characters_is_a_file_when_it_exists(tmp_path):
    assert texts(dataset(write(tmp_path / "[1].jsonl", "x"))) == ["x"]


def test_folders_among_the_matches_of_a_glob_are_passed_over(tmp_path):
    write(tmp_path / "x" / "a.jsonl", "a")
    assert texts(dataset(tmp_path / "**")) == ["a"]


@pytest.mark.parametrize("path", ["", []])
def test_an_empty_path_is_an_error(path):
    with pytest.raises(ConfigError, match=r"names no file"):
        Jsonl(**SETTINGS, path=path)


def test_split_fills_in_the_path(tmp_path):
    write(tmp_path / "train.jsonl", "t")
    write(tmp_path / "test.jsonl", "v")
    assert texts(dataset(tmp_path / "{split}.jsonl", split="test")) == ["v"]


@pytest.mark.parametrize(("path", "split"), [("{split}.jsonl", None), ("a.jsonl", "train")])
def test_split_and_its_place_in_the_path_go_together(path, split):
    with pytest.raises(ConfigError, match=r"split"):
        dataset(path, split=split)


@pytest.mark.parametrize(("limit", "expected"), [(0, []), (1, ["a"]), (9, ["a", "b"])])
def test_max_documents_ends_the_stream(tmp_path, limit, expected):
    assert texts(dataset(write(tmp_path / "a.jsonl", "a", "b"), max_documents=limit)) == expected


def test_a_negative_limit_is_an_error():
    with pytest.raises(ConfigError, match=r"max_documents=-1"):
        dataset("a.jsonl", max_documents=-1)


def test_na_value_counts_as_empty_text(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"i": "NoInput", "o": "NoInput!"}\n')
    data = dataset(path, prompt="{i}\n", text="{o}", na_value="NoInput")
    assert list(data.documents()) == [Document("NoInput!", "\n", "mine")]


@pytest.mark.parametrize(
    ("line", "place", "reason"),
    [
        (b'{"text": "a" "b"}', ":2:14", "not JSON"),
        (b'{"text": "a"', ":2:13", "not JSON"),
        (b'["a"]', ":2", "list"),
        (b'{"body": "a"}', ":2", "body"),
        (b'{"text": 5}', ":2", "int"),
        (b'{"text": "\xe9"}', ":2", "offset 25"),  # 15 bytes of line 1, then 10 of line 2
    ],
)
def test_a_bad_line_names_file_and_line(tmp_path, line, place, reason):
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b'{"text": "ok"}\n' + line + b"\n")
    stream = dataset(path).documents()
    assert next(stream).text == "ok"
    with pytest.raises(DataError) as caught:
        next(stream)
    assert str(caught.value).startswith(f"{path}{place}: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize(("content", "reason"), [(b"", "is empty"), (b"\n \n", "holds no record")])
def test_an_empty_file_is_an_error(tmp_path, content, reason):
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.jsonl {reason}"):
        list(dataset(tmp_path / "a.jsonl").documents())


def test_no_match_names_the_glob_the_working_folder_and_the_cure(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        dataset("data/*.jsonl").fingerprint()
    for part in ("data/*.jsonl", str(tmp_path), "data_dir"):
        assert part in str(caught.value)


def test_a_damaged_gzip_file_is_an_error(tmp_path):
    packed = gzip.compress(b'{"text": "a"}\n' * 1000)
    (tmp_path / "a.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(DataError, match=r"a\.jsonl\.gz cannot be read"):
        list(dataset(tmp_path / "a.jsonl.gz").documents())


def test_the_fingerprint_follows_names_and_contents_and_not_the_folder(tmp_path):
    first = dataset(write(tmp_path / "x" / "a.jsonl", "one")).fingerprint()
    assert dataset(write(tmp_path / "y" / "a.jsonl", "one")).fingerprint() == first
    assert dataset(write(tmp_path / "y" / "b.jsonl", "one")).fingerprint() != first
    assert dataset(write(tmp_path / "y" / "a.jsonl", "two")).fingerprint() != first


@pytest.mark.slow
def test_a_large_file_is_read_as_a_stream(tmp_path):
    line = json.dumps({"text": "x" * 10_000}) + "\n"
    (tmp_path / "a.jsonl").write_text(line * 6_000)
    tracemalloc.start()
    assert sum(len(document.text) for document in dataset(tmp_path / "a.jsonl").documents()) == 60_000_000
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 1_000_000
