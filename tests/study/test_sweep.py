"""A whole study through the real command line."""

import json
import sys
from contextlib import chdir
from pathlib import Path

import pytest

from delt_exp.cli.main import main
from delt_exp.errors import DataError
from delt_exp.study.page import write_page
from delt_exp.study.record import read_study
from tests.helpers import words
from tests.runs import FAST, write_jsonl, write_texts

pytestmark = pytest.mark.slow

REPLACED = ("train_dataset", "eval_dataset", "scorer.", "selector.", "training.")
DETECTION = (
    "study=detection", "train_dataset=spoiled",
    "train_dataset@train_dataset.dataset=jsonl", "train_dataset@train_dataset.other=jsonl",
    "train_dataset.dataset.path=train.jsonl", "train_dataset.other.path=other.jsonl",
    "training.max_tokens=256", "study.seeds=[0,1]", "study.report.baseline=length",
    *(text for text in FAST if not text.startswith(REPLACED)),
)  # fmt: skip
SMALL = "train_dataset.max_documents=40"
BROKEN = "{broken: ['scorer=kenlm', 'scorer.model_path=nowhere.arpa']}"


def run_study(scorers, *overrides, command=DETECTION, corpora=f"{{words: ['{SMALL}']}}"):
    """Run the detection study in this folder with other scorers on small texts; returns its folder."""
    slices = f"study.slices.detection={{corpus: [{corpora}], scorer: {scorers}}}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["run.py", *command, slices, *overrides])
        main()
    return Path("outputs/detection")


def write_all_texts(folder):
    write_texts(folder)
    write_jsonl(folder / "other.jsonl", [{"text": f"other {text} " * 9} for text in words(20, 7)])


@pytest.fixture
def texts(tmp_path):
    write_all_texts(tmp_path)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The folder in which a study of two scorers and two seeds was run twice."""
    folder = tmp_path_factory.mktemp("study")
    write_all_texts(folder)
    with chdir(folder):
        run_study("[random, length]")
        run_study("[random, length]")
    return folder


@pytest.fixture
def finished(place, monkeypatch):
    """The folder of that study; the test runs in its place."""
    monkeypatch.chdir(place)
    return Path("outputs/detection")


def test_a_study_runs_its_jobs_and_writes_its_page(finished):
    study, _ = read_study(finished)
    assert [(run.arm["scorer"], run.seed) for run in study.runs] == [
        ("random", 0), ("length", 0), ("random", 1), ("length", 1),
    ]  # fmt: skip
    assert study.finished() == study.runs
    assert {run.record()["group"] for run in study.finished()} == {"detection"}
    page = (finished / "report.html").read_text()
    assert "Do scores find planted bad documents" in page
    assert all(f'href="../runs/{Path(run.folder).name}/report.html"' in page for run in study.runs)
    table = (finished / "tables" / "detection.csv").read_text().splitlines()
    assert table[0].startswith("scorer,spoiled by,AUC,AUC low,AUC high,corpus,seeds")
    assert len(table) == 1 + 2 * 5  # two scorers, four ways and all together
    assert {file.suffix for file in (finished / "tables").iterdir()} == {".csv", ".md", ".tex"}


def test_a_repeated_study_computes_nothing(finished):
    study, _ = read_study(finished)
    findings = [run.record()["reused_by"] for run in study.finished()]
    assert [[finding["computed"] for finding in found] for found in findings] == [[[]]] * len(study.runs)
    for record in [run.record() for run in study.runs]:  # which says who computed the run, and what that took
        (finding,) = record["reused_by"]
        assert record["started"] < finding["started"]
        assert record["seconds"] != finding["seconds"]
    first, second = study.accounts
    # Every seed spoils the corpus anew and leaves out what is near the one target; documents are not reordered, so that
    # both scorers train one sequence.
    assert first.computed == {"corpus": 5, "tokenizer": 1, "tokens": 2, "scores": 4, "model": 2}
    assert (second.computed, second.stage_seconds, second.overhead) == ({}, 0, None)
    assert second.reused == first.computed


def test_an_account_is_of_distinct_stages_and_of_whole_jobs(finished):
    account, _ = read_study(finished)[0].accounts
    entries = [json.loads(path.read_text()) for path in Path("outputs/store").rglob("entry.json")]
    own = sum(next(iter(entry["cost"]["used"].values()))["build_seconds"] for entry in entries)
    assert account.stage_seconds == pytest.approx(own)
    assert account.stage_seconds < account.job_seconds < account.wall_seconds
    assert account.overhead == pytest.approx(account.job_seconds / own)
    assert "Start-up, cache checks, waiting and pages added" in (finished / "report.html").read_text()


def test_the_page_of_an_unfinished_study_can_be_written_at_any_time(finished):
    study, _ = read_study(finished)
    record = Path(study.runs[1].folder) / "record.json"  # length with seed 0: one seed of it is left
    aside = record.rename(record.with_suffix(".aside"))
    page = write_page(finished).read_text()
    aside.rename(record)
    assert "3 of 4 runs finished" in page
    assert "1 run is missing" in page


def test_a_dry_run_leaves_the_study_on_disk_as_it_is(finished):
    before = (finished / "study.json").read_bytes()
    run_study("[random]", "dry_run=true", "study.seeds=[5]")
    assert (finished / "study.json").read_bytes() == before


def test_other_settings_do_not_replace_a_study_unless_it_has_a_name_of_its_own(finished, capsys):
    with pytest.raises(SystemExit):
        run_study("[length]", "train_dataset.ratio=0.4", "study.seeds=[2,3]")
    assert "other settings (train_dataset.ratio: 0.2 -> 0.4); give this one another name" in capsys.readouterr().err
    assert {run.seed for run in read_study(finished)[0].runs} == {0, 1}
    run_study("[length]", "train_dataset.ratio=0.4", "name=worse")
    assert len(read_study(Path("outputs/worse"))[0].finished()) == 2


def test_setting_what_a_study_varies_is_refused(finished, capsys):
    with pytest.raises(SystemExit):
        run_study("[random, length]", "seed=3")
    shown = capsys.readouterr().err
    assert "error: seed=3: seed is set by this study; change it in study.seeds" in shown
    assert "Traceback" not in shown


def test_a_failed_job_does_not_stop_the_others_and_its_error_stays_until_it_is_repeated(texts, monkeypatch, capsys):
    with pytest.raises(SystemExit) as status:
        run_study(f"[length, {BROKEN}, random]")
    assert status.value.code == 1
    study, _ = read_study(Path("outputs/detection"))
    assert [run.arm["scorer"] for run in study.failed()] == ["broken", "broken"]
    assert len(study.finished()) == 4
    assert "nowhere.arpa" in capsys.readouterr().err
    page = Path("outputs/detection/report.html").read_text()
    assert "4 of 6 runs finished" in page
    assert "nowhere.arpa" in page

    def die(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("delt_exp.study.sweep.launched", die)
    with pytest.raises(SystemExit) as interrupted:
        run_study(f"[length, {BROKEN}, random]")
    assert interrupted.value.code == 130
    again, _ = read_study(Path("outputs/detection"))
    assert (again.failed(), again.accounts) == (study.failed(), study.accounts)


def test_a_run_that_diverged_is_one_line_of_the_failed_runs_and_the_others_are_compared(texts, capsys):
    diverged = "{diverged: ['scorer=length', 'model.optimizer.lr=1e30']}"
    with pytest.raises(SystemExit):
        run_study(f"[length, random, {diverged}]", "training.max_tokens=1024")
    study, _ = read_study(Path("outputs/detection"))
    assert [run.arm["scorer"] for run in study.failed()] == ["diverged", "diverged"]
    assert len(study.finished()) == 4
    said = capsys.readouterr().err
    lines = [line for line in said.splitlines() if "training diverged: at step 2 of" in line]
    at_once = [line for line in lines if line.startswith("this run failed, others go on: ")]
    assert (len(lines), len(at_once)) == (4, 2)  # and in the list at the end
    assert all("lower model.optimizer.lr (1e+30)" in line for line in lines)
    assert "Traceback" not in said
    assert "training diverged" in Path("outputs/detection/report.html").read_text()


def test_a_corpus_without_two_seeds_yet_does_not_keep_the_other_from_its_answer(texts):
    folder = run_study("[length]", corpora="{news: ['train_dataset.max_documents=40']}, "
                                           "{letters: ['train_dataset.max_documents=30']}")  # fmt: skip
    for run in read_study(folder)[0].runs:
        if (run.arm["corpus"], run.seed) == ("letters", 1):
            (Path(run.folder) / "record.json").unlink()
    page = write_page(folder).read_text()
    assert "On letters, no scorer is finished with two seeds yet." in page
    assert "On news, length has the highest AUC" in page


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"has no study\.json"):
        write_page(tmp_path)


def test_a_study_of_another_version_says_what_to_do(tmp_path):
    (tmp_path / "study.json").write_text('{"name": "old", "question": "Why?", "study": {}, "runs": []}')
    with pytest.raises(DataError, match="another version"):
        read_study(tmp_path)


def test_runs_can_start_from_the_model_of_a_run_that_comes_first(texts):
    small = "'model.context_tokens=32', 'model.batch_items=8'"
    base = f"study.base=['scorer=random', 'seed=9', '{SMALL}', 'model.network.config.hidden_size=16', {small}]"
    from_base = "'model=hf', 'model.network.name={base}/model', 'tokenizer=hf', 'tokenizer.name={base}/model'"
    kept = [text for text in DETECTION if not text.startswith(("model.", "tokenizer", "proxy.recipe.network"))]
    study, _ = read_study(run_study("[length]", base, f"study.common=[{from_base}, {small}]", command=kept))
    networks = [run.record()["config"]["model"]["network"]["name"] for run in study.finished()]
    assert len(networks) == 2
    assert len(set(networks)) == 1
    assert json.loads((Path(networks[0]) / "config.json").read_text())["hidden_size"] == 16


def test_with_the_seed_in_its_overrides_each_seed_has_a_base_of_its_own(texts):
    small = "'model.context_tokens=32', 'model.batch_items=8'"
    base = f"study.base=['scorer=random', 'seed={{seed}}', '{SMALL}', {small}]"
    from_base = "'model=hf', 'model.network.name={base}/model', 'tokenizer=hf', 'tokenizer.name={base}/model'"
    kept = [text for text in DETECTION if not text.startswith(("model.", "tokenizer", "proxy.recipe.network"))]
    study, _ = read_study(run_study("[length,random]", base, f"study.common=[{from_base}, {small}]", command=kept))
    bases = {(run.seed, Path(run.record()["config"]["model"]["network"]["name"]).parent) for run in study.finished()}
    assert len(study.finished()) == 4
    assert [(seed, json.loads((folder / "record.json").read_text())["seed"]) for seed, folder in sorted(bases)] == [
        (0, 0),
        (1, 1),
    ]


def test_a_study_without_its_data_says_so_once_and_computes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["run.py", "study=selection_only", "study.seeds=[0]", "data_dir=nowhere"])
    with pytest.raises(SystemExit) as status:
        main()
    shown = capsys.readouterr().err
    assert (status.value.code, shown.count("error: ")) == (1, 1)
    assert "reads data that is missing: no file matches path=nowhere/news_agnews/train.jsonl" in shown
    assert "data_dir=FOLDER" in shown
    assert "(2 more of its datasets are missing.)" in shown  # code to spoil with, and the split of the target
    assert not list(tmp_path.glob("outputs/runs/*"))


def test_what_the_runs_lack_is_said_before_the_run_that_they_start_from_is_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    base = "study.base=['train_dataset=stdlib_prose','scorer=random']"
    command = ["run.py", "study=selection_only", "study.seeds=[0]", "data_dir=nowhere", base]
    monkeypatch.setattr(sys, "argv", [*command, "study.slices.grid.scorer=[random]"])
    with pytest.raises(SystemExit):
        main()
    assert "reads data that is missing" in capsys.readouterr().err
    assert not list(tmp_path.glob("outputs/store/*"))


def test_a_dry_run_forecasts_and_says_what_data_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["run.py", "study=selection_only", "study.seeds=[0]", "data_dir=nowhere", "dry_run=true"]
    monkeypatch.setattr(sys, "argv", [*command, "study.slices.grid.scorer=[random]"])
    main()
    shown = capsys.readouterr().err
    assert shown.index("to compute") < shown.index("warning: this study reads data that is missing: no file matches")
    assert shown.count("warning:") == 1
