"""The fields of the original files come out with the documents that were made of them."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from delt_exp.cli.export import main
from delt_exp.config.build import CONF, build
from delt_exp.config.compose import composed
from delt_exp.errors import DataError
from delt_exp.export.fields import as_json
from delt_exp.export.reading import read_records
from tests.helpers import words
from tests.runs import command, write_jsonl, write_texts

RECORDS = [
    {"text": text, "url": f"https://x/{number}", "tags": ["ä", "b"], "more": {"n": number}, "none": None}
    for number, text in enumerate(words(60, 0))
]
RUN = ("scorer=length", "orderer=folding", "selector=top_k", "selector.k=20", "stop_after=order")


def only_run():
    (run,) = Path("outputs/runs").iterdir()
    return str(run)


def dataset_of(*overrides):
    return build(composed(CONF, overrides)["train_dataset"])


@pytest.fixture(params=["jsonl", "parquet"])
def dataset(request):
    write_texts(Path.cwd())
    if request.param == "jsonl":
        write_jsonl(Path("train.jsonl"), RECORDS)
    else:
        pq.write_table(pa.Table.from_pylist(RECORDS), "train.parquet")
    return (f"train_dataset={request.param}", f"train_dataset.path=train.{request.param}")


@pytest.mark.slow
def test_every_document_has_its_own_record_and_pieces_have_that_of_the_whole(dataset, monkeypatch):
    command(monkeypatch, *dataset, *RUN, "corpus.max_document_chars=40")
    main([only_run(), "--to", "hf", "--out", "out", "--fields"])
    read = list(read_records(Path("out")))
    assert len(read) == 20
    for row in read:
        fields = json.loads(row["fields"])
        assert fields == RECORDS[int(fields["url"].rsplit("/", 1)[1])]
        assert row["text"] in fields["text"]
    assert any(row["text"] != json.loads(row["fields"])["text"] for row in read)
    assert {path.name for path in Path().glob(".out*")} <= {".out.lock"}


def test_numbers_of_any_size_and_half_characters_come_out_as_they_came_in():
    record = {"big": 10**30, "half": "\ud83d", "text": "ä"}
    assert json.loads(as_json(record)) == record
    assert json.loads(as_json({"bytes": b"x"})) == {"bytes": "b'x'"}


@pytest.mark.slow
def test_files_that_have_changed_and_datasets_without_records_are_refused(monkeypatch, capsys):
    write_texts(Path.cwd())
    command(monkeypatch, *RUN)
    write_jsonl(Path("train.jsonl"), RECORDS)
    with pytest.raises(SystemExit):
        main([only_run(), "--to", "jsonl", "--out", "out", "--fields"])
    assert "20 of 20 documents are not in the files" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([only_run(), "--to", "bin", "--out", "out", "--fields"])
    assert "stream of tokens" in capsys.readouterr().err


def test_only_the_records_that_the_run_reads_are_read(dataset):
    """A later one may be malformed, and the files may be far larger."""
    option, path = (text.split("=")[1] for text in dataset)
    limit = "train_dataset.max_documents=3"
    found = dataset_of(f"train_dataset={option}", f"train_dataset.path={path}", limit)
    assert [record["url"] for record, _ in found.recorded()] == [record["url"] for record in RECORDS[:3]]


def test_a_file_that_ends_too_early_is_named(tmp_path):
    with gzip.open(tmp_path / "whole.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(record) + "\n" for record in RECORDS)
    content = (tmp_path / "whole.jsonl.gz").read_bytes()
    (tmp_path / "cut.jsonl.gz").write_bytes(content[: len(content) // 2])
    found = dataset_of("train_dataset=jsonl", f"train_dataset.path={tmp_path}/cut.jsonl.gz")
    with pytest.raises(DataError, match=r"cut\.jsonl\.gz cannot be read"):
        list(found.recorded())
