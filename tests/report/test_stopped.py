"""A run that stops before training leaves what it has, and the whole run reuses it."""

import json
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from delt_exp.cli.main import main
from delt_exp.errors import DataError
from delt_exp.export.source import Ordered
from tests.helpers import words
from tests.runs import command, records, write_jsonl, write_texts

QUICK = ("scorer=length", "orderer=identity", "selector=top_k", "selector.k=40")


def only_run() -> Path:
    (folder,) = Path("outputs/runs").iterdir()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stop_after", "files"),
    [("scores", set()), ("selection", {"selection.parquet"}), ("order", {"order.parquet"})],
)
def test_a_run_that_stops_trains_nothing_and_leaves_what_it_has(stop_after, files, monkeypatch, capsys):
    write_texts(Path.cwd())
    command(monkeypatch, *QUICK, f"stop_after={stop_after}")
    folder = only_run()
    left = {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}
    assert left == {"scores.parquet", "stopped.json", "report.html"} | files
    assert not Path("outputs/store/model").exists()
    assert "no model was trained" in capsys.readouterr().err.replace("\n", " ")
    assert "no model was trained" in (folder / "report.html").read_text()


@pytest.mark.slow
def test_the_whole_run_reuses_what_the_stopped_one_left_and_takes_its_place(monkeypatch, capsys):
    write_texts(Path.cwd())
    command(monkeypatch, *QUICK, "stop_after=order")
    folder = only_run()
    stopped, order = json.loads((folder / "stopped.json").read_text()), pq.read_table(folder / "order.parquet")
    command(monkeypatch, *QUICK)
    assert only_run() == folder
    assert not (folder / "stopped.json").exists()
    (record,) = records()
    cached = {(stage["stage"], stage["key"]) for stage in record["stages"] if stage["cached"]}
    assert {(stage["stage"], stage["key"]) for stage in stopped["stages"]} <= cached
    assert pq.read_table(folder / "order.parquet").drop_columns("step").equals(order)
    capsys.readouterr()
    command(monkeypatch, *QUICK, "stop_after=order")  # the finished run stays what it is
    assert not (folder / "stopped.json").exists()
    assert "order verified" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_on_other_documents_that_stops_leaves_nothing_of_the_whole_one_before_it(monkeypatch):
    write_texts(Path.cwd())
    command(monkeypatch, *QUICK)
    assert (only_run() / "model").exists()
    (only_run() / "notes.txt").write_text("of the user")
    write_jsonl(Path("train.jsonl"), [{"text": text} for text in words(80, 5)])
    command(monkeypatch, *QUICK, "stop_after=scores")
    left = {path.name for path in only_run().iterdir() if not path.name.endswith(".lock")}
    assert left == {"scores.parquet", "stopped.json", "report.html", "notes.txt"}


@pytest.mark.slow
def test_a_run_that_stops_earlier_than_before_keeps_its_order_as_long_as_the_documents_are_the_same(monkeypatch):
    write_texts(Path.cwd())
    command(monkeypatch, *QUICK, "stop_after=order")
    command(monkeypatch, *QUICK, "stop_after=scores")
    assert len(Ordered.of_run(only_run())) == 40
    write_jsonl(Path("train.jsonl"), [{"text": text} for text in words(80, 5)])
    command(monkeypatch, *QUICK, "stop_after=scores")
    assert not (only_run() / "order.parquet").exists()
    with pytest.raises(DataError, match="stop_after=order"):
        Ordered.of_run(only_run())


UNTRAINABLE = {
    "fewer documents than a batch": (["selector.k=1"], "fewer than one batch of 8"),
    "a budget below a batch": (["training.epochs=null", "training.max_tokens=100"], "less than the 256 tokens"),
    "a warm-up beyond training": (["model.schedule.warmup_steps=99", "model.schedule.warmup_ratio=null"], "99 warm-up"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", UNTRAINABLE)
def test_what_only_training_would_refuse_is_said_and_does_not_keep_a_run_from_its_order(kind, monkeypatch, capsys):
    overrides, reason = UNTRAINABLE[kind]
    write_texts(Path.cwd())
    chosen = {text.split("=")[0] for text in overrides}
    command(monkeypatch, *(text for text in QUICK if text.split("=")[0] not in chosen), *overrides, "stop_after=order")
    said = capsys.readouterr().err
    assert "this run stops before training, which would be refused: " in said
    assert reason in said
    assert (only_run() / "order.parquet").exists()
    command(monkeypatch, *QUICK[:3], "selector.k=1", "stop_after=order", "dry_run=true")
    with pytest.raises(SystemExit):
        command(monkeypatch, *QUICK, *overrides)
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["stop_after=training", "stop_after=3"])
def test_another_place_to_stop_is_refused(wrong, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        command(monkeypatch, wrong)
    assert "stop_after" in capsys.readouterr().err


def test_a_study_that_would_stop_is_refused_before_its_first_run(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run.py", "-m", "study=stability", "stop_after=order"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err.count("a study compares results") == 1
    assert not [path for path in Path("outputs").rglob("*") if path.is_file()]
