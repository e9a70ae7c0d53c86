"""The table of runs has what tells them apart, and what came out."""

import pytest

import delt_exp
from delt_exp.errors import DataError
from delt_exp.files import write_json


def leave(folder, name, started, scorer="lqs", lr=0.1, seed=0, loss=3.0, file="record.json", **more):
    config = {
        "seed": seed,
        "name": name,
        "output_dir": "x",
        "selector": {"_target_": "a.b", "ratio": 0.5},
        "scorer": {"_target_": f"a.{scorer}", scorer: 1},
        "model": {"optimizer": {"lr": lr}},
    }
    choices = {
        "scorer": scorer,
        "selector": "top_r",
        "study": name,
        "model": "tiny",
        "train_dataset": "x",
        "trainer": "cpu",
    }
    results = [{"dataset": "news", "metric": metric, "value": loss} for metric in ("loss", "perplexity")]
    record = {
        "name": name, "started": started, "seconds": 2.5, "group": None, "choices": choices, "config": config,
        "results": results, "stages": [], **more,
    }  # fmt: skip
    (folder / "runs" / name).mkdir(parents=True)
    write_json(folder / "runs" / name / file, record)


def test_columns_are_what_differs_results_seconds_and_folder(tmp_path):
    leave(tmp_path, "b", "2026-01-01", loss=3.0)
    leave(tmp_path, "a", "2026-01-02", scorer="length", lr=0.2, loss=4.0)
    leave(tmp_path, "c", "2026-01-03", file="stopped.json", stopped_after="scores", results=[])
    table = delt_exp.runs(tmp_path)
    assert list(table.index) == ["b", "a", "c"]
    assert list(table) == ["scorer", "model.optimizer.lr", "state", "news loss", "seconds", "folder"]
    assert table["scorer"].tolist() == ["lqs", "length", "lqs"]
    assert table["model.optimizer.lr"].tolist() == [0.1, 0.2, 0.1]
    assert table["news loss"].tolist()[:2] == [3.0, 4.0]
    assert table["news loss"].isna().tolist() == [False, False, True]
    assert table.loc["a", "folder"] == str(tmp_path / "runs" / "a")


def test_one_run_differs_in_nothing(tmp_path):
    leave(tmp_path, "b", "2026-01-01")
    assert list(delt_exp.runs(str(tmp_path))) == ["state", "news loss", "seconds", "folder"]


def test_a_run_that_failed_is_in_the_table_with_what_is_known(tmp_path):
    leave(tmp_path, "b", "2026-01-01")
    write_json(
        tmp_path / "running" / "f.json" if (tmp_path / "running").mkdir() is None else None,
        {
            "name": "f", "title": "f", "group": None, "choices": {}, "folder": "x", "started": 1.0, "entered": {},
            "task": None, "error": "no file", "written": 2.0,
        },
    )  # fmt: skip
    table = delt_exp.runs(tmp_path)
    assert table.loc["f", "state"] == "failed"
    assert table.loc["b", "state"] == "finished"


def test_a_folder_without_runs_is_an_error(tmp_path):
    for folder in (tmp_path, tmp_path / "gone"):
        with pytest.raises(DataError, match=r"has no runs; give the output_dir"):
            delt_exp.runs(folder)
