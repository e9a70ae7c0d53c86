"""How far runs are: told by real runs, read from their files, with the time left worked by hand."""

import time
from pathlib import Path

import pytest

from delt_exp.cli.watch import main
from delt_exp.config.run_name import RunInfo
from delt_exp.errors import DataError
from delt_exp.files import read_json, write_json
from delt_exp.progress import observers, track
from delt_exp.steps import journal as journals
from delt_exp.steps.journal import PHASES, journal
from delt_exp.store.file_lock import hold
from delt_exp.watch import runs as watched
from delt_exp.watch.runs import Run, read_runs, sweep_left
from tests.runs import command, write_texts

ALONE = PHASES[:5]  # of a run without a baseline


def info(name="one", group=None, arm=None):
    return RunInfo(name, "id", Path("outputs/runs") / name, {"seed": 3}, {}, group, arm or {})


def finished(folder, name, group, **seconds):
    """Write the record of a finished run with these seconds in its stages."""
    stages = [{"stage": stage, "own": True, "role": stage, "seconds": value} for stage, value in seconds.items()]
    stages.append({"stage": "model", "own": False, "role": "scores", "seconds": 1000.0})  # a proxy, part of the scores
    result = {"metric": "loss", "value": 5.5, "dataset": "prose"}
    record = {
        "group": group, "config": {"seed": 0, "orderer": {}, "training": {"epochs": 2}}, "choices": {"orderer": name},
        "seconds": sum(seconds.values()),
"stages": stages, "results": [result],
    }  # fmt: skip
    (folder / "runs" / name).mkdir(parents=True)
    write_json(folder / "runs" / name / "record.json", record)


def told(folder):
    return {run.name: run for run in read_runs(folder)}


def test_a_running_run_is_told_from_a_killed_one(tmp_path):
    with journal(tmp_path, info(), ALONE) as enter:
        enter("read")
        enter("score")
        run = told(tmp_path)["one"]
        assert (run.state, run.phase) == ("running", 2)
        kept = (tmp_path / "running" / "one.json").read_text()
    assert not (tmp_path / "running").exists()
    (tmp_path / "running").mkdir()  # what a kill leaves: the journal, and a file that nobody holds
    (tmp_path / "running" / "one.json").write_text(kept)
    (tmp_path / "running" / "one.lock").touch()
    assert told(tmp_path)["one"].state == "stopped"


def test_a_folder_that_the_last_run_removes_at_this_moment_is_made_again(tmp_path, monkeypatch):
    refused = iter([True, False])

    def hold(path):
        if next(refused):
            path.parent.rmdir()
            raise FileNotFoundError(path)
        return held(path)

    held = journals.hold
    monkeypatch.setattr(journals, "hold", hold)
    with journal(tmp_path, info(), ALONE):
        assert (tmp_path / "running" / "one.lock").exists()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DataError("the file is empty\nmore"), "the file is empty"),
        (RuntimeError("out of memory"), "RuntimeError: out of memory"),
    ],
)
def test_a_failed_run_keeps_its_reason_until_it_is_repeated(error, reason, tmp_path):
    with pytest.raises(type(error)), journal(tmp_path, info(), ALONE):
        raise error
    run = told(tmp_path)["one"]
    assert (run.state, run.result) == ("failed", reason)
    with journal(tmp_path, info(), ALONE):
        pass
    assert told(tmp_path) == {}


def test_a_run_that_was_to_end_before_training_is_finished_and_says_nothing_of_the_time_of_others(
    tmp_path, monkeypatch
):
    write_texts(tmp_path)
    command(monkeypatch, "scorer=length", "stop_after=order", 'output_dir="."')
    (run,) = read_runs(tmp_path)
    assert (run.state, run.result) == ("finished", "ended after order, as requested")
    with journal(tmp_path, info(), ALONE) as enter:
        enter("read")
        assert told(tmp_path)["one"].left is None


def test_an_interrupted_run_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), journal(tmp_path, info(), ALONE):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    assert observers == []


def test_work_that_advances_is_noted_but_not_each_time(tmp_path, monkeypatch):
    with journal(tmp_path, info(), ALONE) as enter, track("judging", 40, "documents") as task:
        enter("score")
        task.advance(3)  # within a second of what was noted before
        assert told(tmp_path)["one"].doing == ""
        monkeypatch.setattr(journals, "SECONDS_BETWEEN_NOTES", 0.0)
        task.advance(7)
        assert told(tmp_path)["one"].doing == "judging: 10 of 40 documents"
        enter("train")
        assert told(tmp_path)["one"].doing == ""


def test_the_time_left_is_that_of_this_phase_at_its_own_speed_and_of_later_ones_as_in_finished_runs(tmp_path):
    for name, evaluation in (("first", 10.0), ("second", 20.0), ("third", 60.0)):  # median 20
        finished(tmp_path, name, "sweep", corpus=1.0, tokens=2.0, scores=30.0, model=100.0, evaluation=evaluation)
    (tmp_path / "running").mkdir()
    held = hold(tmp_path / "running" / "four.lock")
    now = time.time()
    content = {
        "name": "four", "title": "four", "group": "sweep", "folder": "", "started": now - 50, "written": now,
        "entered": {"read": now - 50, "score": now - 47, "select": now - 41, "train": now - 40},
        "task": {"name": "training", "done": 100, "total": 400, "unit": "steps", "began": now - 30},
        "error": None, "choices": {"orderer": "four"},
    }  # fmt: skip
    write_json(tmp_path / "running" / "four.json", content)
    run = told(tmp_path)["four"]
    assert run.left == pytest.approx(90 + 20, abs=1)  # 300 steps of 0.3 s, then the evaluation
    assert run.seconds == pytest.approx(50, abs=1)

    content["entered"], content["task"] = {"read": now - 13, "score": now - 10}, None
    write_json(tmp_path / "running" / "four.json", content)
    assert told(tmp_path)["four"].left == pytest.approx(20 + 100 + 20, abs=1)  # 30 s of scoring, 10 of them done

    # Outside the sweep, runs with the same scorer and model; an order costs nothing.
    write_json(tmp_path / "running" / "four.json", {**content, "group": None})
    assert told(tmp_path)["four"].left == pytest.approx(20 + 100 + 20, abs=1)
    write_json(tmp_path / "running" / "four.json", {**content, "group": "another", "choices": {"scorer": "other"}})
    assert told(tmp_path)["four"].left is None
    held.close()


def test_a_sweep_ends_when_what_is_left_is_shared_by_the_runs_at_once():
    running = [Run("a", "a", "s", "running", left=10.0), Run("b", "b", "s", "running", left=30.0)]
    waiting = [Run(name, name, "s", "waiting", left=40.0) for name in "cd"]
    assert sweep_left([*running, *waiting]) == (10 + 30 + 40 + 40) / 2
    assert sweep_left([running[1], Run("e", "e", "s", "running", left=0.0)]) == 30  # one run does not share
    assert sweep_left([*running, Run("f", "f", "s", "waiting")]) is None
    assert sweep_left(waiting) is None


def test_runs_that_a_study_has_still_to_start_are_waiting(tmp_path):
    finished(tmp_path, "done", "mine", corpus=1.0, scores=2.0, model=3.0, evaluation=4.0)
    runs = [
        {"arm": {"orderer": name}, "seed": 0, "overrides": [], "slices": [], "folder": f"runs/{name}", "error": error}
        for name, error in (("done", None), ("next", None), ("next", None), ("broken", "no file\nhere"))
    ]
    study = {"name": "mine", "question": "?", "settings": {}, "study": {}, "accounts": [], "runs": runs}
    (tmp_path / "mine").mkdir()
    write_json(tmp_path / "mine" / "study.json", study)
    found = told(tmp_path)
    assert {name: run.state for name, run in found.items()} == {
        "done": "finished", "next": "waiting", "broken": "failed",
    }  # fmt: skip
    assert found["next"].left == 10
    assert found["broken"].result == "no file"


def test_the_command_shows_every_run_once_and_its_sweep(tmp_path, capsys):
    (tmp_path / "sweeps" / "orders").mkdir(parents=True)
    varied = ["orderer", "training.epochs"]
    write_json(tmp_path / "sweeps" / "orders" / "sweep.json", {"varied": varied, "num_runs": 5})
    for name in ("folding", "sorting"):
        finished(tmp_path, name, "orders", corpus=1.0, scores=2.0, model=3.0, evaluation=4.0)
    with journal(tmp_path, info("[bold]odd", "orders", {"orderer": "[bold]odd"}), ALONE) as enter:
        enter("read")
        main([str(tmp_path)])
    said = capsys.readouterr().out
    assert "folding · 2 · s0" in said
    assert "[bold]odd · s3" in said  # no markup
    assert "1 of 5 read" in said
    assert "loss 5.5 on prose" in said
    assert "orders: 1 running, 2 finished, 2 waiting of 5; about" in said
    main([str(tmp_path), "--once", "--rows", "1"])
    assert "4 not shown" in capsys.readouterr().out


def test_a_run_that_replaces_its_record_at_this_moment_is_passed_over(tmp_path, monkeypatch):
    finished(tmp_path, "one", None, corpus=1.0)

    def gone(path, modified_ns):
        raise FileNotFoundError(path)

    monkeypatch.setattr(watched, "read_json_once", gone)
    assert read_runs(tmp_path) == []


def test_looks_that_follow_each_other_without_a_pause_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--every", "0"])
    assert "--every 0: give a number of seconds above 0" in capsys.readouterr().err


def test_a_folder_without_runs_is_said(tmp_path, capsys):
    main([str(tmp_path / "nowhere")])
    assert "nowherehasnorunsyet" in "".join(capsys.readouterr().out.split())  # lines may break anywhere


@pytest.mark.slow
def test_a_real_run_tells_its_phases_in_order_and_leaves_no_journal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_texts(tmp_path)
    seen, note = [], journals._Journal._note
    monkeypatch.setattr(journals._Journal, "_note", lambda self: (note(self), seen.append(read_json(self._file))))
    command(monkeypatch, "scorer=length", "name=watched")
    assert list(seen[-1]["entered"]) == list(ALONE)
    assert seen[-1]["title"].startswith("watched-")
    assert not Path("outputs/running").exists()
    (run,) = read_runs(Path("outputs"))
    assert run.state == "finished"
    assert run.result.startswith("loss ")
