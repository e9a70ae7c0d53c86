"""A whole study through the real command line."""

import json
from pathlib import Path

import pytest

from delt_exp.errors import DataError
from delt_exp.study.page import write_page
from delt_exp.study.record import read_study
from tests.helpers import words
from tests.runs import FAST, write_jsonl, write_texts

DETECTION = (
    "study=detection",
    "train_dataset@train_dataset.dataset=jsonl", "train_dataset@train_dataset.other=jsonl",
    "train_dataset.dataset.path=train.jsonl", "train_dataset.other.path=other.jsonl", "train_dataset.max_documents=40",
    "training.max_tokens=256", "study.seeds=[0,1]", "study.report.baseline=length",
    *(text for text in FAST if not text.startswith(("train_dataset", "eval_dataset", "scorer."))),
)  # fmt: skip


def run_study(monkeypatch, scorers, *overrides):
    """Run the detection study with other scorers on small texts; returns its folder."""
    import sys

    from delt_exp.cli import main

    slices = f"study.slices.detection={{corpus: [{{words: []}}], scorer: {scorers}}}"
    monkeypatch.setattr(sys, "argv", ["run.py", *DETECTION, slices, *overrides])
    main()
    return Path("outputs/detection")


@pytest.fixture
def texts(tmp_path):
    write_texts(tmp_path)
    write_jsonl(tmp_path / "other.jsonl", [{"text": f"other {text} " * 9} for text in words(20, 7)])


def test_a_study_runs_its_jobs_and_writes_its_page(texts, monkeypatch):
    folder = run_study(monkeypatch, "[random, length]")
    study, _ = read_study(folder)
    assert [(run.arm["scorer"], run.seed) for run in study.runs] == [
        ("random", 0), ("length", 0), ("random", 1), ("length", 1),
    ]  # fmt: skip
    assert study.finished() == study.runs
    page = (folder / "report.html").read_text()
    assert "Do scores find planted bad documents" in page
    assert all(f'href="../runs/{Path(run.folder).name}/report.html"' in page for run in study.runs)
    table = (folder / "tables" / "detection.csv").read_text().splitlines()
    assert table[0].startswith("corpus,scorer,spoiled by,AUC,AUC low,AUC high,seeds")
    assert len(table) == 1 + 2 * 5  # two scorers, four ways and all together
    assert {file.suffix for file in (folder / "tables").iterdir()} == {".csv", ".md", ".tex"}


def test_a_repeated_study_computes_nothing(texts, monkeypatch):
    folder = run_study(monkeypatch, "[random, length]")
    run_study(monkeypatch, "[random, length]")
    study, _ = read_study(folder)
    stages = [stage for run in study.finished() for stage in run.record()["stages"]]
    assert all(stage["cached"] for stage in stages)
    first, second = study.accounts
    # Every seed spoils the corpus anew; documents are not reordered, so that both scorers train one sequence.
    assert first.computed == {"corpus": 2, "tokenizer": 1, "tokens": 2, "scores": 4, "model": 2}
    assert (second.computed, second.stage_seconds, second.overhead) == ({}, 0, None)
    assert second.found == first.computed


def test_an_account_is_of_distinct_stages_and_of_whole_jobs(texts, monkeypatch, capsys):
    study, _ = read_study(run_study(monkeypatch, "[length, random]"))
    (account,) = study.accounts
    entries = list(Path("outputs/store").rglob("entry.json"))
    built = sum(json.loads(path.read_text())["cost"]["build_seconds"] for path in entries)
    assert account.stage_seconds == pytest.approx(built)  # no stage of this study is inside another
    assert account.stage_seconds < account.job_seconds < account.wall_seconds
    assert account.overhead == pytest.approx(account.job_seconds / built)
    assert "the distinct stages took" in capsys.readouterr().err
    assert "the distinct stages took" in Path("outputs/detection/report.html").read_text()


def test_a_failed_job_does_not_stop_the_others_and_is_listed(texts, monkeypatch, capsys):
    with pytest.raises(SystemExit) as status:
        run_study(monkeypatch, "[length, {broken: ['scorer=kenlm', 'scorer.model_path=nowhere.arpa']}, random]")
    assert status.value.code == 1
    study, _ = read_study(Path("outputs/detection"))
    assert [run.arm["scorer"] for run in study.failed()] == ["broken", "broken"]
    assert len(study.finished()) == 4
    assert "nowhere.arpa" in capsys.readouterr().err
    page = Path("outputs/detection/report.html").read_text()
    assert "4 of 6 runs finished" in page
    assert "nowhere.arpa" in page


def test_the_page_of_an_unfinished_study_can_be_written_at_any_time(texts, monkeypatch):
    folder = run_study(monkeypatch, "[random, length]")
    study, _ = read_study(folder)
    (Path(study.runs[1].folder) / "record.json").unlink()  # length with seed 0: one seed of it is left
    page = write_page(folder).read_text()
    assert "3 of 4 runs finished" in page
    assert "1 runs are missing" in page


def test_setting_what_a_study_varies_is_refused(texts, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run_study(monkeypatch, "[random, length]", "seed=3")
    shown = capsys.readouterr().err
    assert "error: seed=3: seed is what this study sets; change it with study.seeds" in shown
    assert "Traceback" not in shown


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"has no study\.json"):
        write_page(tmp_path)


def test_a_study_of_another_version_says_what_to_do(tmp_path):
    (tmp_path / "study.json").write_text('{"name": "old", "question": "Why?", "study": {}, "runs": []}')
    with pytest.raises(DataError, match="another version"):
        read_study(tmp_path)


def test_runs_can_start_from_the_model_of_a_run_that_comes_first(texts, monkeypatch):
    small = "'model.context_tokens=32', 'model.batch_items=8'"
    base = f"study.base=['scorer=random', 'seed=9', 'model.network.config.hidden_size=16', {small}]"
    from_base = "'model=hf', 'model.network.name={base}/model', 'tokenizer=hf', 'tokenizer.name={base}/model'"
    kept = [text for text in DETECTION if not text.startswith(("model.", "tokenizer", "proxy.recipe.network"))]
    monkeypatch.setattr("tests.study.test_sweep.DETECTION", tuple(kept))
    study, _ = read_study(run_study(monkeypatch, "[length]", base, f"study.common=[{from_base}, {small}]"))
    networks = [run.record()["config"]["model"]["network"]["name"] for run in study.finished()]
    assert len(networks) == 2
    assert len(set(networks)) == 1
    assert json.loads((Path(networks[0]) / "config.json").read_text())["hidden_size"] == 16


def test_the_runs_of_a_study_are_one_group(texts, monkeypatch):
    study, _ = read_study(run_study(monkeypatch, "[length]"))
    assert {run.record()["group"] for run in study.finished()} == {"detection"}
