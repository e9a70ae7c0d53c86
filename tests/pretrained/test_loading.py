"""What a name of the Hub stands for."""

import pytest

from delt_exp.pretrained import loading


@pytest.fixture(autouse=True)
def _asked_anew():
    loading._commit.cache_clear()
    yield
    loading._commit.cache_clear()


def test_a_name_of_the_hub_is_identified_by_the_commit_that_it_stands_for_now(monkeypatch):
    asked = []

    def download(name, file, *, revision, local_files_only):
        asked.append((name, file, revision))
        return f"/cache/models--org--name/snapshots/{'a' * 40}/config.json"

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert loading.pretrained_fingerprint("org/name", "main") == f"org/name@{'a' * 40}"
    loading.pretrained_fingerprint("org/name", "main")
    assert asked == [("org/name", "config.json", "main")]


def test_where_nobody_knows_the_commit_the_revision_stands_as_it_was_given(monkeypatch):
    def download(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert loading.pretrained_fingerprint("org/name", "v1") == "org/name@v1"
