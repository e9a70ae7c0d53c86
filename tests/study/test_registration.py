"""A study is registered before its first run or not at all, and stays what it was registered as."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from delt_exp.errors import ConfigError, StoreError
from delt_exp.files import digest, write_json
from delt_exp.report.stages import own_stage
from delt_exp.study.record import PlannedRun, StudyRecord, read_study
from delt_exp.study.registration import definition, registration
from tests.study.small_study import run_study, write_study_texts

STUDY = {
    "_target_": "Study", "question": "Why?", "registered": True, "seeds": [0, 1],
    "slices": {"all": {"scorer": ["lqs"]}}, "report": {"alpha": 0.05}, "forecast": None,
}  # fmt: skip


def record_of(folder, seeds=(0, 1)):
    runs = [PlannedRun({"scorer": "lqs"}, seed, [], ["all"], str(folder / f"lqs-{seed}-ab12"), None) for seed in seeds]
    return StudyRecord(folder / "why", "why", "Why?", {"seed": 0, "corpus": {"max": 9}}, runs, [])


def fixed(record, study=STUDY, documents=500, files=("ab12",)):
    configs = [OmegaConf.create({"eval_dataset": {"news": {"max_documents": documents}}})] * len(record.runs)
    return definition(record, configs, OmegaConf.create(study), files)


def test_a_registration_is_dated_kept_and_found_again(tmp_path):
    record = record_of(tmp_path)
    first = registration(tmp_path, record, fixed(record), wanted=True)
    assert first.date.startswith("20")
    assert registration(tmp_path, record, fixed(record), wanted=True) == first
    assert registration(tmp_path, record, fixed(record), wanted=False) == first
    record.registered = first
    assert record.standing == f"Registered on {first.date[:10]}, before its first run (digest {first.digest})."


def test_nothing_is_written_unless_asked_and_the_study_is_exploratory(tmp_path):
    record = record_of(tmp_path)
    assert registration(tmp_path, record, fixed(record), wanted=False) is None
    assert not list(tmp_path.iterdir())
    assert record.standing.startswith("Exploratory")


def test_a_dry_run_says_that_the_study_would_be_registered_and_writes_nothing(tmp_path, capsys):
    record = record_of(tmp_path)
    assert registration(tmp_path, record, fixed(record), wanted=True, dry=True) is None
    assert "would be registered" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dry", [False, True])
def test_a_study_with_a_finished_run_is_not_registered(dry, tmp_path):
    record = record_of(tmp_path)
    Path(record.runs[1].folder).mkdir()
    write_json(Path(record.runs[1].folder) / "record.json", {})
    with pytest.raises(ConfigError, match=r"1 of 2 runs of why are finished, .*Register .* before"):
        registration(tmp_path, record, fixed(record), wanted=True, dry=dry)


@pytest.mark.parametrize(
    ("study", "documents", "key"),
    [
        ({**STUDY, "report": {"alpha": 0.1}}, 500, r"study.report.alpha: 0.05 -> 0.1"),
        ({**STUDY, "seeds": [0, 1, 2]}, 500, r"study.seeds: \[0, 1\] -> \[0, 1, 2\]"),
        (STUDY, 100, "hold_out"),
    ],
)
@pytest.mark.parametrize("wanted", [True, False])
def test_a_changed_definition_is_refused_by_its_key_whether_asked_to_register_or_not(
    tmp_path, study, documents, key, wanted
):
    record = record_of(tmp_path)
    registration(tmp_path, record, fixed(record), wanted=True)
    with pytest.raises(ConfigError, match=rf"why was registered on 20.* with another definition \(.*{key}"):
        registration(tmp_path, record, fixed(record, study, documents), wanted=wanted)


def test_a_run_of_another_configuration_is_a_change(tmp_path):
    record, other = record_of(tmp_path), record_of(tmp_path, seeds=(0, 7))
    registration(tmp_path, record, fixed(record), wanted=True)
    with pytest.raises(ConfigError, match=r"runs: .*lqs-1-ab12.* -> .*lqs-7-ab12"):
        registration(tmp_path, other, fixed(other), wanted=False)


def test_hundreds_of_other_runs_are_told_in_a_line_after_their_cause(tmp_path):
    record, other = record_of(tmp_path), record_of(tmp_path, seeds=range(500))
    registration(tmp_path, record, fixed(record), wanted=True)
    with pytest.raises(ConfigError) as caught:
        registration(tmp_path, other, fixed(other, {**STUDY, "seeds": list(range(500))}), wanted=False)
    told = str(caught.value)
    assert "study.seeds: [0, 1] -> [0, 1, 2," in told
    assert told.index("runs: none -> ") > told.index("study.seeds")
    assert "and 497 others" in told
    assert len(told) < 700


def test_a_registration_that_somebody_edited_is_refused(tmp_path):
    record = record_of(tmp_path)
    registration(tmp_path, record, fixed(record), wanted=True)
    path = tmp_path / "registered" / "why.json"
    content = json.loads(path.read_text())
    content["definition"]["study"]["report"]["alpha"] = 0.5
    write_json(path, content)
    with pytest.raises(StoreError, match="was changed after it was written"):
        registration(tmp_path, record, fixed(record), wanted=False)


def test_files_with_another_content_are_another_study_and_one_of_an_earlier_version_has_none(tmp_path):
    record = record_of(tmp_path)
    first = registration(tmp_path, record, fixed(record), wanted=True)
    with pytest.raises(ConfigError, match=r"registered on .* with another definition \(files"):
        registration(tmp_path, record, fixed(record, files=["cd34"]), wanted=False)
    path = tmp_path / "registered" / "why.json"
    content = json.loads(path.read_text())
    del content["definition"]["files"]
    content["registration"]["digest"] = digest(content["definition"])
    write_json(path, content)
    assert registration(tmp_path, record, fixed(record), wanted=False).date == first.date


@pytest.mark.slow
def test_the_page_of_a_registered_study_says_when_and_a_repeat_reuses_it(tmp_path):
    """The registration is older than the first run."""
    texts = write_study_texts(tmp_path)
    study = run_study(texts, tmp_path / "out", "study.registered=true")
    page = (tmp_path / "out" / "order_only" / "report.html").read_text()
    assert study.standing in page
    assert study.registered.date <= min(run.record()["started"] for run in study.finished())
    assert run_study(texts, tmp_path / "out").registered == study.registered
    assert read_study(study.folder)[0].registered == study.registered
    run_study(texts, tmp_path / "out", "study.registered=true", "name=again")
    again = read_study(tmp_path / "out" / "again")[0]
    num_models = len({own_stage(run.record(), "model")["key"] for run in again.finished()})
    assert len(again.registered.trained) == num_models
    told = f"{len(again.runs)} of the models of {len(again.runs)} runs were in the store by then"
    assert told in (tmp_path / "out" / "again" / "report.html").read_text()
    assert told not in page
    with pytest.raises(SystemExit):
        run_study(texts, tmp_path / "out", "study.report.alpha=0.1")
    for file in (texts / "news_agnews").iterdir():
        file.write_text(file.read_text() + '{"text": "what nobody registered, in a file of the same name"}\n')
    with pytest.raises(SystemExit):
        run_study(texts, tmp_path / "out")
