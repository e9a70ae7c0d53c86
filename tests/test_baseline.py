"""A run is compared with its baseline, which changes nothing of the run and is trained once."""

import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from delt_exp.cli.show import show_run
from delt_exp.errors import DivergedError
from delt_exp.report.stages import BASELINE
from tests.runs import command, records, write_texts

pytestmark = pytest.mark.slow

BUDGET = ("training.epochs=null", "training.max_tokens=1024")
CHOICE = ("scorer=length", "selector.ratio=0.5", *BUDGET)
RANDOM = ("scorer=random", "orderer=shuffle", "selector.ratio=0.5", *BUDGET)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """One run with its baseline, shared by the tests that only look at what it left."""
    folder = tmp_path_factory.mktemp("compared")
    write_texts(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        command(patch, *CHOICE, "baseline=shuffle")
        (record,) = records()
    return folder, record


@pytest.fixture
def again(compared, tmp_path):
    """What the run with its baseline left, in a folder of this test."""
    shutil.copytree(compared[0], tmp_path, dirs_exist_ok=True)
    return compared[1]


def of_baseline(record):
    return [stage for stage in record["stages"] if stage["role"] == BASELINE]


def own(record, stage):
    return next(found for found in record["stages"] if found["stage"] == stage and found["own"])


def test_the_record_has_an_answer_for_every_evaluation_set(compared):
    _, record = compared
    (answer,) = record["baseline"]["answers"]
    (run,) = [row["value"] for row in record["results"] if row["metric"] == "loss"]
    assert (answer["dataset"], answer["metric"], answer["run"]) == ("eval", "loss", run)
    assert answer["difference"] == pytest.approx(answer["run"] - answer["baseline"])
    assert answer["low"] < answer["difference"] < answer["high"]
    assert record["baseline"]["documents"] == record["selection"]["kept_documents"] == 40
    assert record["baseline"]["training"]["tokens"] == record["training"]["tokens"]
    assert {stage["stage"] for stage in of_baseline(record)} == {"model", "evaluation"}


def test_page_and_terminal_begin_with_the_answer(compared, capsys):
    folder, record = compared
    run = folder / "outputs" / "runs" / record["name"]
    page = (run / "report.html").read_text()
    sentence = "Choosing 50 % of jsonl by length scores and training it in folding order"
    assert f"<h1>{sentence}" in page
    show_run(run)
    told = capsys.readouterr().err
    assert told.startswith(sentence)
    assert "one seed is one draw" in told.replace("\n", " ")


def test_the_random_arm_of_a_study_is_the_baseline_and_trains_nothing(again, monkeypatch):
    command(monkeypatch, *RANDOM)
    (model,) = [stage for stage in of_baseline(again) if stage["stage"] == "model"]
    assert own(records()[-1], "model")["key"] == model["key"]
    assert own(records()[-1], "model")["cached"]


def test_another_choice_of_as_many_documents_shares_the_baseline(again, monkeypatch):
    command(monkeypatch, *CHOICE, "scorer.longer=false", "baseline=shuffle")
    assert [stage["cached"] for stage in of_baseline(records()[-1])] == [True, True]


def test_without_a_baseline_it_is_the_same_run_in_the_same_folder(again, monkeypatch):
    command(monkeypatch, *CHOICE)
    (record,) = records()
    assert record["baseline"] is None
    for key in ("name", "id", "results", "training"):
        assert record[key] == again[key]
    assert own(record, "model")["key"] == own(again, "model")["key"]
    assert "Choosing" not in next(Path("outputs/runs").glob("*/report.html")).read_text()


def test_a_budget_in_epochs_is_that_of_the_run_in_tokens(tmp_path, monkeypatch):
    write_texts(tmp_path)
    command(monkeypatch, "scorer=length", "selector.ratio=0.5", "baseline=shuffle")
    (record,) = records()
    assert record["baseline"]["training"]["tokens"] == pytest.approx(record["training"]["tokens"], abs=8 * 32)


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (RANDOM, "this run is itself a baseline"),
        (("selector=all", "orderer=shuffle", "scorer=length", *BUDGET), "this run is itself a baseline"),
        ((*CHOICE, "eval_dataset=none"), "there is no eval_dataset to compare on"),
    ],
)
def test_a_baseline_that_would_tell_nothing_is_left_out_and_the_page_says_why(tmp_path, monkeypatch, overrides, reason):
    write_texts(tmp_path)
    command(monkeypatch, *overrides, "baseline=shuffle")
    (record,) = records()
    assert reason in record["baseline"]["skipped"]
    assert of_baseline(record) == []
    assert (
        f"Not compared with a baseline: {record['baseline']['skipped']}."
        in next(Path("outputs/runs").glob("*/report.html")).read_text()
    )


def test_shares_of_sources_are_a_choice(tmp_path, monkeypatch):
    """Of one source they are none, and that is another reason."""
    write_texts(tmp_path)
    command(monkeypatch, *RANDOM, "selector=quota", "selector.shares=equal", "baseline=shuffle")
    (record,) = records()
    assert "itself a baseline" not in (record["baseline"].get("skipped") or "")


def test_a_baseline_that_fails_does_not_lose_the_run(tmp_path, monkeypatch):
    write_texts(tmp_path)

    def fail(*_):
        raise DivergedError("loss is nan at step 3")

    monkeypatch.setattr("delt_exp.steps.comparing._job", fail)
    command(monkeypatch, *CHOICE, "baseline=shuffle")
    assert records()[0]["baseline"]["skipped"] == "the baseline failed: loss is nan at step 3"


class Interrupts:
    """Ctrl-C in the middle of the second training run of a process."""

    def __init__(self):
        self.trained = []

    def __call__(self, task):
        if task.name == "training":
            self.trained = [*dict.fromkeys([*self.trained, id(task)])]
            if len(self.trained) == 2 and task.done == 3:
                raise KeyboardInterrupt


def test_a_run_killed_in_its_baseline_continues_there_with_the_same_bits(compared, tmp_path, monkeypatch, capsys):
    write_texts(tmp_path)
    killed = (*CHOICE, "baseline=shuffle", "trainer.checkpoint_steps=1")
    monkeypatch.setattr("delt_exp.progress.observers", [Interrupts()])
    with pytest.raises(SystemExit):
        command(monkeypatch, *killed)
    assert not records()
    monkeypatch.setattr("delt_exp.progress.observers", [])
    command(monkeypatch, *killed)
    (record,) = records()
    assert own(record, "model")["cached"]
    assert "training continues from step" in capsys.readouterr().err
    models = [
        next(stage for stage in of_baseline(found) if stage["stage"] == "model") for found in (record, compared[1])
    ]
    first, second = (load_file(Path(model["path"]) / "model" / "model.safetensors") for model in models)
    assert all((first[name] == second[name]).all() for name in second)


def test_a_forecast_has_the_baseline_in_it_where_there_will_be_one(compared, monkeypatch, capsys):
    monkeypatch.chdir(compared[0])
    told = {}
    for overrides in ((*CHOICE, "baseline=shuffle"), (*RANDOM, "baseline=shuffle"), CHOICE):
        command(monkeypatch, *overrides, "dry_run=true")
        told[overrides] = "baseline" in capsys.readouterr().err
    assert list(told.values()) == [True, False, False]
