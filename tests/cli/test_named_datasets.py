"""Names of datasets on a command line: files keep their place, and what is a file is no setting."""

import pytest

from delt_exp.cli.named_datasets import dataset_overrides, labelled, reader
from delt_exp.cli.reporting import names_in
from delt_exp.errors import ConfigError, DataError


def test_a_file_whose_path_has_an_equals_sign_is_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "year=2020" / "a.jsonl"
    file.parent.mkdir()
    file.touch()
    arguments = ["year=2020/a.jsonl", "stdlib_prose", "alignment=ncd"]
    assert names_in(arguments, 2, "two texts", "alignment") == (arguments[:2], arguments[2:])


def test_labels_are_words_that_a_setting_can_have():
    assert labelled(["in/Müller-1.v2.txt", "stdlib_prose"]) == {
        "M_ller_1": "in/Müller-1.v2.txt",
        "stdlib_prose": "stdlib_prose",
    }


@pytest.mark.parametrize("name", ["a.jsonl", "A.JSONL", "a.json.bz2", "a.txt.gz", "a.ndjson.zst"])
def test_files_are_known_by_their_endings_packed_or_not(name):
    assert reader(name) == ("text" if ".txt" in name else "jsonl")


@pytest.mark.parametrize(
    ("name", "wrong"), [("table.csv", "has another ending"), ("folder", "is a folder"), ("a/gone", "is not there")]
)
def test_a_file_that_no_option_reads_is_not_taken_for_an_option(name, wrong, tmp_path):
    (tmp_path / "table.csv").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match=rf"^{name} {wrong}; give an option of conf/train_dataset, or a file that ends"):
        dataset_overrides({"label": name})
    assert dataset_overrides({"label": "jsonl"}) == ["+train_dataset@corpora.label=jsonl"]


def test_two_files_of_one_label_are_refused():
    with pytest.raises(ConfigError, match="have the same name"):
        labelled(["a/Müller.txt", "b/Möller.txt", "c/M_ller.txt"])
