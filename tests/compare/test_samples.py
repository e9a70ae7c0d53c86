"""Rows of samples, read fast and read by Python."""

import json

import pytest

from delt_exp.compare.samples import _by_arrow, _by_python, read_samples
from tests.compare.folders import sample


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


FILES = {
    "numbers": [sample(item, {"acc": item / 3}) for item in range(4)],
    "truths": [sample(item, {"acc": item > 1}) for item in range(4)],
    "pairs": [sample(item, {"acc": [-1.5 * item, item]}) for item in range(4)],
    "names": [sample(f"item {item}", {"acc": 1}) for item in range(4)],
    "filters": [sample(item, {"acc": item}, filter_name=name) for name in ("none", "x") for item in range(4)],
    "without a filter": [{k: v for k, v in sample(item, {"acc": 1}).items() if k != "filter"} for item in range(4)],
}


@pytest.mark.parametrize("rows", FILES.values(), ids=FILES)
def test_the_fast_way_reads_what_python_reads(tmp_path, rows):
    file = write(tmp_path / "samples.jsonl", rows)
    fast, slow = _by_arrow(file, "acc", "none"), _by_python(file, "acc", "none", None)
    assert all(fast[name] == slow[name] for name in ("doc_id", "doc_hash", "target_hash", "prompt_hash", "acc"))
    assert len(fast["acc"]) == 4


UNLIKE_THE_FIRST = {
    "numbers after whole ones": [sample(0, {"acc": 1}), sample(1, {"acc": 0.5})],
    "texts after numbers": [sample(0, {"acc": 1.0}), sample("b", {"acc": 1.0})],
}


@pytest.mark.parametrize("rows", UNLIKE_THE_FIRST.values(), ids=UNLIKE_THE_FIRST)
def test_what_the_fast_way_cannot_read_is_left_to_python(tmp_path, rows):
    file = write(tmp_path / "samples.jsonl", rows)
    assert _by_arrow(file, "acc", "none") is None
    columns = read_samples(file, "acc", "none", None)
    assert columns["acc"] == [row["acc"] for row in rows]
    assert columns["doc_id"] == [row["doc_id"] for row in rows]


def test_rows_longer_than_a_block_are_left_to_python(tmp_path, monkeypatch):
    monkeypatch.setattr("delt_exp.compare.samples.BLOCK_BYTES", 100)
    file = write(tmp_path / "samples.jsonl", FILES["numbers"])
    assert _by_arrow(file, "acc", "none") is None
    assert read_samples(file, "acc", "none", None)["acc"] == [0, 1 / 3, 2 / 3, 1]
