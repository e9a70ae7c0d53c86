"""What `dry_run=true` says."""

import pytest

from tests.runs import command, write_jsonl, write_texts


@pytest.mark.slow
def test_a_dry_run_shows_what_was_read_and_the_first_document_as_the_model_sees_it(tmp_path, monkeypatch, capsys):
    write_texts(tmp_path)
    write_jsonl(
        tmp_path / "train.jsonl", [{"text": text} for text in ("first text", "second", "", "second", *"abcdef")]
    )
    command(monkeypatch, "scorer=length", "model.batch_items=1", "dry_run=true")
    said = capsys.readouterr().err
    assert "candidates" in said
    assert "read 10" in said
    assert "duplicates dropped 1" in said
    assert "evaluation: eval" in said
    assert "<|endoftext|>first text<|endoftext|>" in said
    assert "In the store: neither scores nor a model of this run" in said
    assert "with an empty cache, at the speed of a training step here" in said
    assert not list(tmp_path.glob("outputs/store/scores*"))


def test_a_dry_run_names_all_data_that_is_missing(tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        command(monkeypatch, "scorer=length", "dry_run=true")
    said = capsys.readouterr().err
    assert said.startswith("error: data is missing:")
    for name in ("train.jsonl", "eval.jsonl"):
        assert f"no file matches path={name}" in said


@pytest.mark.slow
def test_a_dry_run_knows_what_is_there_of_a_selection_by_tokens(tmp_path, monkeypatch, capsys):
    write_texts(tmp_path)
    by_tokens = ("scorer=length", "selector.ratio=0.5", "selector.unit=tokens")
    command(monkeypatch, *by_tokens)
    capsys.readouterr()
    command(monkeypatch, *by_tokens, "dry_run=true")
    assert "In the store: scores, training, evaluation" in capsys.readouterr().err
