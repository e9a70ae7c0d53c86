"""Sweeps of -m without a study: every run goes on, failures are lines, and each sweep keeps what it was."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from delt_exp.cli import CONF
from tests.runs import FAST, command, records, write_jsonl, write_texts

QUICK = ("scorer=length", "training.epochs=null", "training.max_tokens=256")


def test_runs_that_fail_are_named_in_one_line_each_and_the_others_finish(tmp_path, monkeypatch, capsys):
    write_texts(tmp_path)
    write_jsonl(tmp_path / "bad.jsonl", [{"text": None}])
    with pytest.raises(SystemExit) as status:
        command(monkeypatch, "-m", *QUICK, "train_dataset.path=bad.jsonl,train.jsonl,nowhere.jsonl")
    assert status.value.code == 1
    said = capsys.readouterr().err
    assert "Traceback" not in said
    for file, reason in (("bad.jsonl", "not text"), ("nowhere.jsonl", "no file matches")):
        (line,) = [line for line in said.splitlines() if line.startswith(f"failed: train_dataset.path={file}")]
        assert reason in said.split(line)[1].splitlines()[1]
    assert "2 of 3 runs failed" in said
    assert len(records()) == 1
    assert [folder.name for folder in Path("outputs/runs").iterdir() if folder.is_dir()] == [records()[0]["name"]]


def test_each_sweep_has_a_group_and_arms_of_its_own_and_keeps_its_configuration(tmp_path, monkeypatch):
    from delt_exp import run_name

    write_texts(tmp_path)
    seen = []
    original = run_name.run_info
    monkeypatch.setattr(run_name, "run_info", lambda *given: seen.append(original(*given)) or seen[-1])
    for values in ("shuffle,sorting", "identity,folding"):
        command(monkeypatch, "-m", *QUICK, f"orderer={values}", "seed=3")
    assert [dict(run.arm) for run in seen] == [
        {"orderer": name} for name in ("shuffle", "sorting", "identity", "folding")
    ]
    first, second = seen[0].group, seen[2].group
    assert first == seen[1].group != second == seen[3].group
    for group, value in ((first, "shuffle,sorting"), (second, "identity,folding")):
        kept = yaml.safe_load((tmp_path / "outputs" / "sweeps" / group / "multirun.yaml").read_text())
        assert f"orderer={value}" in kept["hydra"]["overrides"]["task"]
    assert seen[0].title == "shuffle · s3"


def test_a_dry_run_and_a_failed_run_leave_no_empty_folder(tmp_path, monkeypatch):
    write_texts(tmp_path)
    command(monkeypatch, *QUICK, "dry_run=true")
    command(monkeypatch, "-m", *QUICK, "seed=0,1", "dry_run=true")
    assert not Path("outputs/sweeps").exists()
    with pytest.raises(SystemExit):
        command(monkeypatch, *QUICK, "train_dataset.text='{nothing}'")
    assert not list(Path("outputs/runs").iterdir())


def children(pid):
    """Return all living descendants of a process, by /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found += [int(path.parent.name), *children(int(path.parent.name))]
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_after_sigterm_to_a_parallel_sweep_no_process_stays(tmp_path):
    write_texts(tmp_path)
    small = [text for text in FAST if not text.startswith("scorer.")]
    endless = ("training.epochs=null", "training.max_tokens=5_000_000", "hydra/launcher=parallel", "seed=0,1")
    arguments = [sys.executable, str(CONF.parent / "run.py"), "-m", *small, "scorer=length", *endless]
    sweep = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not list(tmp_path.glob("outputs/store/model/*.work/metrics.csv")):
            assert sweep.poll() is None
            time.sleep(0.2)
        started = children(sweep.pid)
        assert len(started) >= 2
        sweep.send_signal(signal.SIGTERM)
        sweep.wait(timeout=30)
        until = time.monotonic() + 20
        while any(Path(f"/proc/{pid}").exists() for pid in started) and time.monotonic() < until:
            time.sleep(0.2)
        assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]
    finally:
        sweep.kill()
        for pid in children(os.getpid()):
            if pid in started:
                os.kill(pid, signal.SIGKILL)


def test_a_sweep_with_a_quote_in_its_name_runs_and_says_what_it_varies(tmp_path, monkeypatch):
    write_texts(tmp_path)
    command(monkeypatch, "-m", *QUICK, "orderer=shuffle,sorting", """name="it's mine\"""")
    assert len(records()) == 2
    assert json.loads((tmp_path / "outputs" / "sweeps" / "it's mine" / "sweep.json").read_text()) == {
        "varied": ["orderer"]
    }


def test_a_repeated_sweep_is_the_same_sweep(tmp_path, monkeypatch):
    write_texts(tmp_path)
    for _ in range(2):
        command(monkeypatch, "-m", *QUICK, "orderer=shuffle,sorting")
    assert len(list(Path("outputs/sweeps").iterdir())) == 1
