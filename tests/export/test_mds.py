"""MDS shards are those that MosaicML streaming reads: bytes worked out by hand from its description."""

import struct

import pytest

from delt_exp.cli.export import main
from delt_exp.errors import DataError
from delt_exp.export import mds
from delt_exp.export.reading import read_records
from delt_exp.export.source import Ordered
from delt_exp.export.writing import export
from delt_exp.files import read_json


class _Rows:
    """Two records of three columns."""

    columns = ("text", "position", "labels")

    def read(self, start, stop):
        records = [
            {"text": "ab", "position": 0, "labels": [-100, 7]},
            {"text": "", "position": 1, "labels": [*range(300)]},
        ]
        return iter(records[start:stop])


@pytest.fixture
def form():
    form = object.__new__(mds.Mds)
    form.rows, form.columns = _Rows(), _Rows.columns
    return form


def test_a_shard_has_the_bytes_of_the_description(form, tmp_path):
    form.write(tmp_path / "shard", 0, 2)
    data = (tmp_path / "shard").read_bytes()
    columns = (
        b'{"column_encodings": ["ndarray:int32", "int", "str"], "column_names": ["labels", "position", "text"], '
        b'"column_sizes": [null, 8, null], "compression": null, "format": "mds", "hashes": [], "size_limit": null, '
        b'"version": 2}'
    )
    # One axis: 4 plus the code of the type of its length, uint8 or uint16; then the length and the values.
    short = bytes([4, 2]) + struct.pack("<2i", -100, 7)
    long = bytes([5]) + struct.pack("<H300i", 300, *range(300))
    first = struct.pack("<2I", 10, 2) + short + struct.pack("<q", 0) + b"ab"
    second = struct.pack("<2I", 1203, 0) + long + struct.pack("<q", 1)
    begin = 4 + 3 * 4 + len(columns)
    places = struct.pack("<4I", 2, begin, begin + len(first), begin + len(first) + len(second))
    assert data == places + columns + first + second


@pytest.mark.slow
def test_the_index_has_every_shard_in_order_and_its_size(stopped, tmp_path):
    card = export(Ordered.of_run(stopped), "mds", tmp_path / "out", shard_bytes=1000, with_tokens=True)
    index = read_json(tmp_path / "out/index.json")
    assert index["version"] == 2
    assert [(s["raw_data"]["basename"], s["raw_data"]["bytes"], s["samples"]) for s in index["shards"]] == [
        (s["file"], s["bytes"], s["documents"]) for s in card["shards"]
    ]
    assert len(index["shards"]) > 2


@pytest.mark.parametrize("length", [1, 255, 256, 65_535, 65_536])
def test_arrays_of_every_length_read_back(length):
    assert mds.DECODERS["ndarray:int32"](mds.ENCODERS["ndarray:int32"]([-100] * length)) == [-100] * length


def test_tokens_are_those_of_the_other_formats(stopped, tmp_path):
    source = Ordered.of_run(stopped)
    for to in ("jsonl", "mds"):
        export(source, to, tmp_path / to, shard_bytes=1000, with_tokens=True)
    assert [*read_records(tmp_path / "mds")] == [*read_records(tmp_path / "jsonl")]


def test_a_shard_beyond_the_format_is_refused_before_and_while_it_is_written(
    form, stopped, tmp_path, monkeypatch, capsys
):
    with pytest.raises(SystemExit):
        main([str(stopped), "--to", "mds", "--out", "out", "--shard-mb", "5000"])
    assert "at most 4294" in capsys.readouterr().err
    monkeypatch.setattr(mds, "MAX_SHARD_BYTES", 500)
    with pytest.raises(DataError, match="give a smaller --shard-mb"):
        form.write(tmp_path / "shard", 0, 2)
