import json

import datasets
import huggingface_hub
import pytest

from delt_exp.dataset.base import Document
from delt_exp.dataset.hub import Hub
from delt_exp.errors import ConfigError, DataError, DependencyError
from tests.dataset import records

SETTINGS = {
    "repo": "owner/name",
    "config": "en",
    "revision": None,
    "streaming": True,
    **records.SETTINGS,
    "split": "train",
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tmp_path):
    rows = [{"text": "a", "q": ["1"]}, {"text": "b", "q": ["2"]}, {"text": "c", "q": ["3"]}]
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "corpus"


def local(folder, **changes):
    return Hub(**{**SETTINGS, "repo": str(folder), "config": None, **changes})


def test_a_folder_of_data_files_is_read_by_the_real_library(folder):
    data = local(folder, prompt="{q[0]}: ", max_documents=2)
    assert list(data.documents()) == [Document("a", "1: ", "mine"), Document("b", "2: ", "mine")]
    assert list(data.documents()) == list(data.documents())


def test_the_fingerprint_of_a_folder_follows_its_contents(folder):
    before = local(folder).fingerprint()
    assert local(folder).fingerprint() == before
    (folder / "train.jsonl").write_text('{"text": "other", "q": ["1"]}\n')
    assert local(folder).fingerprint() != before


def test_an_unknown_split_is_a_config_error(folder):
    with pytest.raises(ConfigError, match=r"split=nonsense.*train"):
        list(local(folder, split="nonsense").documents())


def test_a_missing_field_names_the_row_and_the_fields(folder):
    with pytest.raises(DataError, match=r"row 1: .*body.*text, q"):
        list(local(folder, text="{body}").documents())


@pytest.mark.parametrize("streaming", [True, False])
def test_the_settings_reach_load_dataset_and_no_code_is_trusted(monkeypatch, streaming):
    seen = {}

    def load_dataset(path, **arguments):
        seen.update(path=path, **arguments)
        return [{"text": "a"}]

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    documents = list(Hub(**{**SETTINGS, "revision": "v1", "streaming": streaming}).documents())
    assert documents == [Document("a", "", "mine")]
    wanted = {"path": "owner/name", "name": "en", "split": "train", "revision": "v1", "streaming": streaming}
    assert seen == wanted


@pytest.mark.parametrize("call", ["documents", "fingerprint"])
def test_without_network_one_message_names_the_dataset_and_the_cures(monkeypatch, call):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(DependencyError) as caught:
        list(getattr(Hub(**SETTINGS), call)())
    for part in ("owner/name", "HF_HUB_OFFLINE", "HF_HOME", "train_dataset=jsonl"):
        assert part in str(caught.value)


def test_an_error_in_the_middle_of_the_stream_is_reported_too(monkeypatch):
    def rows(*_, **__):
        yield {"text": "a"}
        raise ConnectionError("gone")

    monkeypatch.setattr(datasets, "load_dataset", rows)
    stream = Hub(**SETTINGS).documents()
    assert next(stream).text == "a"
    with pytest.raises(DependencyError, match=r"gone"):
        next(stream)


def test_the_fingerprint_asks_for_the_commit_and_follows_the_settings(monkeypatch):
    class Info:
        sha = COMMIT

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: Info)
    first = Hub(**SETTINGS).fingerprint()
    assert Hub(**{**SETTINGS, "revision": COMMIT}).fingerprint() == first
    for change in ({"repo": "owner/other"}, {"config": "de"}, {"split": "test"}):
        assert Hub(**{**SETTINGS, **change}).fingerprint() != first
    Info.sha = COMMIT[::-1]
    assert Hub(**SETTINGS).fingerprint() != first


def test_what_is_read_is_the_commit_that_was_fingerprinted(monkeypatch):
    class Info:
        sha = COMMIT

    read = []
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: Info)
    monkeypatch.setattr(datasets, "load_dataset", lambda path, revision, **_: read.append(revision) or [{"text": "a"}])
    data = Hub(**SETTINGS)
    data.fingerprint()
    Info.sha = COMMIT[::-1]  # the branch moves
    assert len(list(data.documents())) == 1
    assert read == [COMMIT]


def test_a_full_commit_needs_no_network(monkeypatch):
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: pytest.fail("asked the Hub"))
    assert Hub(**{**SETTINGS, "revision": COMMIT}).fingerprint()


def test_a_split_without_rows_is_an_error(monkeypatch):
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: [])
    with pytest.raises(DataError, match=r"holds no record"):
        list(Hub(**SETTINGS).documents())


def test_folders_of_save_to_disk_are_read(tmp_path):
    one = datasets.Dataset.from_dict({"text": ["a", "b"], "q": [["1"], ["2"]]})
    one.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": one, "test": one.select([1])}).save_to_disk(tmp_path / "several")
    assert [document.text for document in local(tmp_path / "one").documents()] == ["a", "b"]
    assert [document.text for document in local(tmp_path / "several", split="test").documents()] == ["b"]
    with pytest.raises(ConfigError, match=r"no split 'dev'; it has train, test"):
        list(local(tmp_path / "several", split="dev").documents())


def test_renamed_folders_inside_a_local_repository_are_other_data(tmp_path):
    for name in ("train", "test"):
        (tmp_path / "repo" / name).mkdir(parents=True)
        (tmp_path / "repo" / name / "0.jsonl").write_text(json.dumps({"text": name}) + "\n")
    before = local(tmp_path / "repo").fingerprint()
    (tmp_path / "repo" / "train").rename(tmp_path / "repo" / "validation")
    (tmp_path / "repo" / "test").rename(tmp_path / "repo" / "train")
    assert local(tmp_path / "repo").fingerprint() != before


@pytest.mark.parametrize("content", [b'{"text": "a"}\n{"text":\n', b'{"text": "\xe9"}\n'])
@pytest.mark.parametrize("streaming", [True, False])
def test_a_damaged_file_in_a_folder_is_no_matter_of_settings_or_network(tmp_path, content, streaming):
    (tmp_path / "train.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read: .*Correct or replace the file"):
        list(local(tmp_path, streaming=streaming).documents())


def test_half_a_copy_of_a_saved_dataset_is_an_error_of_the_data(tmp_path):
    datasets.Dataset.from_dict({"text": ["a"] * 1000}).save_to_disk(tmp_path / "saved")
    (file,) = (tmp_path / "saved").glob("*.arrow")
    file.write_bytes(file.read_bytes()[:600])
    with pytest.raises(DataError, match=r"saved cannot be read: "):
        list(local(tmp_path / "saved").documents())
