"""Files as people have them: compressed, in arrays, in folders with markers and empty shards, moved and linked."""

import bz2
import gzip
import json
import lzma
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.writing import CorpusSettings, write_corpus
from delt_exp.dataset.base import EmptyFile
from delt_exp.dataset.json_records import json_records
from delt_exp.dataset.jsonl import Jsonl
from delt_exp.dataset.mixture import Mixture
from delt_exp.dataset.parquet import Parquet
from delt_exp.dataset.text import Text
from delt_exp.errors import ConfigError, DataError
from delt_exp.files import tree_digest
from tests.dataset.records import FILES, SETTINGS


def jsonl(path, **changes):
    return Jsonl(**{**SETTINGS, "na_value": None, "path": str(path), **changes})


def texts(data):
    return [document.text for document in data.documents() if not isinstance(document, EmptyFile)]


def lines_of(*values):
    return "".join(json.dumps({"text": value}) + "\n" for value in values).encode()


def zstandard(raw):
    return pa.compress(raw, codec="zstd", asbytes=True)


PACKERS = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstandard": zstandard}


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "part-00000"])
@pytest.mark.parametrize("packer", PACKERS)
def test_a_compressed_file_is_known_by_its_content(tmp_path, packer, name):
    file = tmp_path / name
    pack = PACKERS[packer]
    file.write_bytes(pack(lines_of(*map(str, range(5000)))) + pack(lines_of("another member")))
    assert texts(jsonl(file)) == [*map(str, range(5000)), "another member"]
    assert texts(Text(**FILES, path=str(file), unit="line"))[0] == '{"text": "0"}'


@pytest.mark.parametrize("packer", PACKERS)
def test_half_a_download_is_an_error(tmp_path, packer):
    raw = PACKERS[packer](lines_of(*[str(number**7) for number in range(5000)]))
    (tmp_path / "a").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(DataError, match=r"a cannot be read|a:\d+:\d+: not JSON"):
        texts(jsonl(tmp_path / "a"))


@pytest.mark.parametrize(
    ("content", "cure"),
    [
        (b"\x04\x22\x4d\x18rest", "lz4 -d"),
        ('{"text": "a"}'.encode("utf-16"), "iconv -f utf-16"),
        (b"PAR1....", "train_dataset=parquet"),
        (b"ARROW1..", "train_dataset=hub"),
        ("abc".encode("utf-32"), "iconv -f utf-32"),
        ('{"text": "a"}\n'.encode("utf-16-le"), "iconv -f utf-16le"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "git lfs pull"),
        (b"%PDF-1.7\n\xe2\xe3", "pdftotext"),
        (b"\x1f\x9d\x90rest", "uncompress"),
        (b"a" + bytes(256) + b"ustar\x0000", "tar -xf"),
    ],
)
def test_another_format_is_named_with_a_cure_that_helps(tmp_path, content, cure):
    for raw in (content, gzip.compress(content)):
        (tmp_path / "a.jsonl").write_bytes(raw)
        for data in (jsonl(tmp_path / "a.jsonl"), Text(**FILES, path=str(tmp_path / "a.jsonl"), unit="line")):
            with pytest.raises(DataError, match=cure):
                texts(data)


def test_frames_to_be_skipped_are_no_obstacle(tmp_path):
    skipped = b"\x5a\x2a\x4d\x18\x04\x00\x00\x00abcd"  # as pzstd writes before each frame
    (tmp_path / "a").write_bytes(b"".join(skipped + zstandard(lines_of(text)) for text in "ab"))
    assert texts(jsonl(tmp_path / "a")) == ["a", "b"]


def test_a_zip_archive_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.jsonl", "w") as archive:
        archive.writestr("a.jsonl", lines_of("a"))
    with pytest.raises(DataError, match=r"a zip archive. Unpack it first"):
        texts(jsonl(tmp_path / "a.jsonl"))


RECORDS = st.lists(st.dictionaries(st.text(max_size=5), st.text() | st.integers() | st.lists(st.text()), max_size=3))


@pytest.mark.slow
@given(records=RECORDS, indent=st.none() | st.integers(0, 3), space=st.sampled_from(["", " ", "\n", "\r\n\t"]))
def test_an_array_of_objects_reads_as_its_elements(tmp_path_factory, records, indent, space):
    file = tmp_path_factory.mktemp("array") / "a.json"
    file.write_text(space + json.dumps(records, indent=indent) + space, newline="")
    assert [record for record, _ in json_records(file)] == records


def test_a_long_array_is_read_across_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("delt_exp.dataset.json_records._CHUNK_CHARS", 50)
    values = [f"{number} {'x' * (number % 300)}" for number in range(500)]
    (tmp_path / "a.json").write_text(json.dumps([{"text": value} for value in values], indent=1))
    assert texts(jsonl(tmp_path / "a.json")) == values


@pytest.mark.parametrize(
    ("content", "place", "reason"),
    [
        ('[{"text": "a"}, 5]', "element 2", "int"),
        ('[{"text": "a"} {"text": "b"}]', "element 2", "',' or ']' expected"),
        ('[{"text": "a"}, {"text": }]', "element 2", "not JSON"),
        ('[{"text": "a"}, {"text": "b"}', "element 3", "',' or ']' expected"),
        ('[{"text": "a"}, {"te', "element 2", "not JSON"),
        ('[{"text": "a"}]\n{"text": "b"}\n', "a.json", "after the end of the array"),
        ('{\n  "text": "a"\n}\n', "a.json:1:2", "one object per line ('jq -c .' writes it so)"),
    ],
)
def test_a_bad_array_names_the_element(tmp_path, content, place, reason):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError) as caught:
        texts(jsonl(tmp_path / "a.json"))
    assert place in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize("layout", ["lines", "array"])
def test_a_number_of_thousands_of_digits_does_not_stop_a_reader(tmp_path, layout):
    number = "9" * 9131
    rows = ['{"text": "a", "answer": ' + number + "}", '{"text": "b", "answer": -3}']
    (tmp_path / "a.json").write_text("\n".join(rows) if layout == "lines" else f"[{','.join(rows)}]")
    assert texts(jsonl(tmp_path / "a.json")) == ["a", "b"]
    assert texts(jsonl(tmp_path / "a.json", text="{answer}", numbers_as_text=True)) == [number, "-3"]
    with pytest.raises(DataError, match=r"not text. Set numbers_as_text=true"):
        texts(jsonl(tmp_path / "a.json", text="{answer}"))


@pytest.mark.parametrize("layout", ["{}", "[{}]"])
def test_a_key_that_an_object_has_twice_is_refused_where_it_is_read(tmp_path, layout):
    (tmp_path / "a.json").write_text(layout.replace("{}", '{"text": "a", "text": "b", "other": "c"}'))
    with pytest.raises(DataError, match=r"'text' .* is given 2 times in one object"):
        texts(jsonl(tmp_path / "a.json"))
    assert texts(jsonl(tmp_path / "a.json", text="{other}")) == ["c"]


@pytest.mark.parametrize("layout", ["{}", "[{}]"])
def test_json_nested_without_end_names_the_place(tmp_path, layout):
    record = '{"text": "a", "deep": ' + "[" * 100_000 + "]" * 100_000 + "}"
    (tmp_path / "a.json").write_text(layout.replace("{}", record))
    with pytest.raises(DataError, match=r"a\.json.* 1: nested too deeply|a\.json:1: nested too deeply"):
        texts(jsonl(tmp_path / "a.json"))


@pytest.mark.slow
@given(record=st.dictionaries(st.text(max_size=5), st.integers() | st.text()), space=st.sampled_from(["", " ", "\t "]))
def test_white_space_around_an_object_does_not_count_and_anything_else_does(tmp_path_factory, record, space):
    file = tmp_path_factory.mktemp("line") / "a.jsonl"
    file.write_text(f"{space}{json.dumps(record)}{space}\r\n", newline="")
    assert [found for found, _ in json_records(file)] == [record]
    file.write_text(f"{space}{json.dumps(record)}{space},\n")
    with pytest.raises(DataError, match=r"a\.jsonl:1:\d+: not JSON: Extra data"):
        list(json_records(file))


def parquet_of(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


READERS = {
    "jsonl": lambda folder, value: jsonl(_written(folder / "a.jsonl", lines_of(value))),
    "parquet": lambda folder, value: Parquet(
        **SETTINGS, path=str(parquet_of(folder / "a.parquet", text=pa.array([value])))
    ),
}


def _written(file, raw):
    file.write_bytes(raw)
    return file


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("value", "setting", "text"),
    [(None, "null_as_empty", ""), (4, "numbers_as_text", "4"), (0.5, "numbers_as_text", "0.5")],
)
def test_nulls_and_numbers_are_read_where_a_setting_says_so(tmp_path, reader, value, setting, text):
    from dataclasses import replace

    data = READERS[reader](tmp_path, value)
    with pytest.raises(DataError, match=rf"not text. Set {setting}=true"):
        texts(data)
    assert texts(replace(data, **{setting: True})) == [text]


@pytest.mark.parametrize("value", [True, ["a"], {"a": "b"}])
def test_other_values_are_no_texts_whatever_the_settings(tmp_path, value):
    with pytest.raises(DataError, match=r"not text. Correct the record"):
        texts(jsonl(_written(tmp_path / "a.jsonl", lines_of(value)), null_as_empty=True, numbers_as_text=True))


def test_a_setting_for_nulls_is_true_or_false(tmp_path):
    with pytest.raises(ConfigError, match=r"null_as_empty='yes'"):
        jsonl(tmp_path / "a.jsonl", null_as_empty="yes")


def test_a_folder_is_read_with_its_empty_shards_counted_and_its_markers_passed_over(tmp_path, capsys):
    folder = tmp_path / "shards"
    (folder / "_temporary").mkdir(parents=True)
    for number in range(3):
        parquet_of(folder / f"part-{number}.parquet", text=[f"{number} a", f"{number} b"])
    parquet_of(folder / "part-3.parquet", text=pa.array([], pa.string()))
    for name in ("part-4.parquet", "_SUCCESS", ".part-0.parquet.crc", "_temporary/0.parquet", "README.md"):
        (folder / name).write_bytes(b"")
    for path in (folder, folder / "*.parquet"):
        data = Parquet(**SETTINGS, path=str(path))
        assert texts(data) == [f"{number} {letter}" for number in range(3) for letter in "ab"]
        write_corpus(data, CorpusSettings(None, True), _new(tmp_path))
        assert Corpus(tmp_path / "corpus").meta["counts"]["empty_files"] == 2
        assert Corpus(tmp_path / "corpus").meta["counts"]["read"] == 6
    assert "skipped in" in capsys.readouterr().err


def _new(folder):
    import shutil

    shutil.rmtree(folder / "corpus", ignore_errors=True)
    (folder / "corpus").mkdir()
    return folder / "corpus"


def test_what_a_user_names_is_read_whatever_its_name(tmp_path):
    file = _written(tmp_path / "_hidden.jsonl", lines_of("a"))
    assert texts(jsonl(file)) == ["a"]
    assert texts(jsonl(tmp_path / "_*.jsonl")) == ["a"]


def test_files_of_which_none_has_a_record_are_an_error(tmp_path):
    for name in "ab":
        _written(tmp_path / f"{name}.jsonl", b"\n")
    with pytest.raises(DataError, match=r"none of 2 files holds a record"):
        texts(jsonl(tmp_path / "*.jsonl"))


def test_empty_files_do_not_use_up_a_limit_or_a_turn_of_a_mixture(tmp_path):
    _written(tmp_path / "a.jsonl", b"")
    _written(tmp_path / "b.jsonl", lines_of("1", "2", "3"))
    data = jsonl(tmp_path / "*.jsonl", max_documents=2)
    assert texts(data) == ["1", "2"]
    mixed = Mixture({"x": data, "y": data}, None, "documents", "all", 3, None)
    assert texts(mixed) == ["1", "1", "2"]
    assert sum(isinstance(document, EmptyFile) for document in mixed.documents()) == 2


def test_a_file_behind_a_loop_of_links_is_read_once_and_that_is_said(tmp_path, capsys):
    _written(tmp_path / "a.jsonl", lines_of("a"))
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "b.jsonl").symlink_to(tmp_path / "a.jsonl")
    assert texts(jsonl(f"{tmp_path}/**/*.jsonl")) == ["a"]
    assert "are links to a file that is already there" in capsys.readouterr().err
    assert texts(jsonl(tmp_path / "a.jsonl")) == ["a"]
    assert "links" not in capsys.readouterr().err


def test_a_folder_is_read_through_links_and_one_that_leads_nowhere_is_named(tmp_path):
    data, far = tmp_path / "data", tmp_path / "far"
    for folder, text in ((data, "a"), (far, "b")):
        folder.mkdir()
        _written(folder / f"{text}.jsonl", lines_of(text))
    (data / "linked").symlink_to(far)
    (far / "back").symlink_to(data)
    assert texts(jsonl(data)) == ["a", "b"]
    before = tree_digest(data)
    _written(far / "b.jsonl", lines_of("c"))
    assert tree_digest(data) != before
    (data / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    for place in (data, data / "*.jsonl"):
        with pytest.raises(DataError, match=r"gone\.jsonl is a link to .*nowhere, which is not there"):
            texts(jsonl(place))


def test_a_file_of_a_byte_order_mark_alone_is_empty(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf")
    with pytest.raises(DataError, match="holds no record"):
        texts(jsonl(tmp_path / "a.jsonl"))


def test_what_tools_note_in_hidden_files_is_not_the_content_of_a_folder(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    before = tree_digest(tmp_path)
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "config.json.metadata").write_text("fetched at 12:00")
    assert tree_digest(tmp_path) == before


def test_renamed_split_folders_are_other_data_and_a_moved_folder_is_the_same(tmp_path):
    for name in ("train", "test"):
        (tmp_path / "data" / name).mkdir(parents=True)
        _written(tmp_path / "data" / name / "0.jsonl", lines_of(name))
    before = jsonl(tmp_path / "data" / "*" / "*.jsonl").fingerprint()
    (tmp_path / "data").rename(tmp_path / "moved")
    moved = jsonl(tmp_path / "moved" / "*" / "*.jsonl")
    assert moved.fingerprint() == before
    (tmp_path / "moved" / "train").rename(tmp_path / "moved" / "validation")
    assert moved.fingerprint() != before


def test_two_columns_of_one_name_are_refused_where_they_are_read(tmp_path):
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"]), pa.array(["c"])], ["text", "text", "other"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"2 columns are named 'text'"):
        texts(Parquet(**SETTINGS, path=str(tmp_path / "a.parquet")))
    assert texts(Parquet(**{**SETTINGS, "text": "{other}"}, path=str(tmp_path / "a.parquet"))) == ["c"]


def test_a_folder_of_save_to_disk_is_sent_to_its_reader(tmp_path):
    (tmp_path / "state.json").write_text("{}")
    with pytest.raises(DataError, match=r"train_dataset=hub train_dataset.repo="):
        texts(jsonl(tmp_path))


def test_a_structure_with_two_fields_of_one_name_is_an_error(tmp_path):
    fields = pa.StructArray.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["t", "t"])
    file = parquet_of(tmp_path / "a.parquet", meta=fields)
    with pytest.raises(DataError, match=r"a\.parquet: not readable .* duplicate field names"):
        texts(Parquet(**{**SETTINGS, "text": "{meta[t]}"}, path=str(file)))


def test_a_pointer_in_place_of_parquet_is_named(tmp_path):
    (tmp_path / "a.parquet").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(DataError, match=r"git lfs pull"):
        texts(Parquet(**SETTINGS, path=str(tmp_path / "a.parquet")))


def test_empty_files_are_no_documents_of_a_shard(tmp_path):
    from delt_exp.dataset.shard import Shard

    _written(tmp_path / "a.jsonl", b"")
    _written(tmp_path / "b.jsonl", lines_of(*"0123456"))
    data = jsonl(tmp_path / "*.jsonl")
    parts = [Shard(data, 2, [number], None) for number in (0, 1)]
    assert [texts(part) for part in parts] == [["0", "2", "4", "6"], ["1", "3", "5"]]
    assert texts(Shard(data, 2, [0], 2)) == ["0", "2"]
    assert all(sum(isinstance(document, EmptyFile) for document in part.documents()) == 1 for part in parts)
