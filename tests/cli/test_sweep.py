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

from delt_exp.cli import run_info
from delt_exp.config.build import CONF
from tests.runs import FAST, command, records, write_jsonl, write_texts

pytestmark = pytest.mark.slow

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
    at_once = [line for line in said.splitlines() if line.startswith("this run failed, others go on: ")]
    assert [("not text" in line, "no file matches" in line) for line in at_once] == [(True, False), (False, True)]
    assert said.index(at_once[1]) < said.index("failed: train_dataset.path")
    assert "2 of 3 runs failed" in said
    assert len(records()) == 1
    assert [folder.name for folder in Path("outputs/runs").iterdir() if folder.is_dir()] == [records()[0]["name"]]


def test_each_sweep_has_a_group_and_arms_of_its_own_and_keeps_its_configuration(tmp_path, monkeypatch):
    write_texts(tmp_path)
    seen = []
    original = run_info.run_info
    monkeypatch.setattr(run_info, "run_info", lambda *given: seen.append(original(*given)) or seen[-1])
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


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")


@pytest.fixture
def parallel_sweep(tmp_path):
    """Start a sweep of two workers that trains for minutes; return it with its processes when runs are in training."""
    write_texts(tmp_path)
    small = [text for text in FAST if not text.startswith("scorer.")]
    endless = ("training.epochs=null", "training.max_tokens=5_000_000", "hydra/launcher=parallel")
    started = []

    def start(seeds, *overrides):
        words = [sys.executable, str(CONF.parent / "run.py"), "-m", *small, "scorer=length", *endless, *overrides]
        sweep = subprocess.Popen(
            [*words, f"seed={seeds}"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        started.append(sweep.pid)
        while len(list(tmp_path.glob("outputs/store/model/*.work/metrics.csv"))) < len(seeds.split(",")):
            assert sweep.poll() is None
            time.sleep(0.2)
        processes = children(sweep.pid)
        started.extend(processes)
        return sweep, processes

    yield start
    for pid in started:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGKILL)


def living(processes, seconds):
    """Return which processes are alive `seconds` from now, or earlier none."""
    until = time.monotonic() + seconds
    while any(Path(f"/proc/{pid}").exists() for pid in processes) and time.monotonic() < until:
        time.sleep(0.2)
    return [pid for pid in processes if Path(f"/proc/{pid}").exists()]


@needs_proc
@pytest.mark.parametrize(("number", "seeds"), [(signal.SIGTERM, "0"), (signal.SIGINT, "0,1")])
def test_after_a_parallel_sweep_is_ended_no_process_stays_not_even_an_idle_worker(number, seeds, parallel_sweep):
    assert not end_in_order(*parallel_sweep(seeds), number)


def end_in_order(sweep, processes, number):
    """End a sweep by a signal, of which it says so in one line; return the processes that it leaves."""
    assert len(processes) >= 2
    sweep.send_signal(number)
    said = sweep.communicate(timeout=30)[1]
    assert sweep.returncode == 130
    assert said.splitlines()[-1] == "interrupted; the same command continues where this one stopped"
    assert "Traceback" not in said
    return living(processes, 20)


@needs_proc
def test_a_killed_worker_is_one_line_and_the_repeated_sweep_continues_both_runs(tmp_path, parallel_sweep):
    """And is ended in its turn, by SIGTERM, while both runs are in training: it leaves no process either."""
    sweep, processes = parallel_sweep("0,1", "trainer.checkpoint_steps=5")
    while len({file.parent for file in tmp_path.glob("outputs/store/model/*.work/checkpoints/*.sha256")}) < 2:
        time.sleep(0.1)
    (worker, *_) = [pid for pid in processes if b"popen_loky" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(worker, signal.SIGKILL)
    said = sweep.communicate(timeout=60)[1]
    assert sweep.returncode == 1
    (line,) = [line for line in said.splitlines() if not line.startswith(("store:", "training:"))]  # its progress
    assert line.startswith("error: a run ended without a result")
    assert not living(processes, 20)
    again, _ = parallel_sweep("0,1", "trainer.checkpoint_steps=5")
    continued = (line for line in again.stderr if "training continues from step" in line)
    assert [next(continued, None) is not None for _ in range(2)] == [True, True]
    assert not end_in_order(again, children(again.pid), signal.SIGTERM)


KILLED = """
import multiprocessing, os, signal
from joblib import Parallel, delayed
from delt_exp.errors import DeltError
from delt_exp.study.sweep import launched

def leave(number):
    lock = multiprocessing.RLock()
    os.kill(os.getpid(), signal.SIGKILL)

class Launcher:
    def launch(self, commands, initial_job_idx):
        return Parallel(n_jobs=2)(delayed(leave)(number) for number in range(2))

try:
    launched(Launcher(), [[], []])
except DeltError as error:
    print(str(error).split(" (")[0])
"""


def test_nothing_is_said_of_the_semaphores_of_a_killed_worker_after_the_sweep():
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("a run ended without a result\n", "")


def test_a_sweep_with_a_quote_in_its_name_runs_and_says_what_it_varies(tmp_path, monkeypatch):
    write_texts(tmp_path)
    command(monkeypatch, "-m", *QUICK, "orderer=shuffle,sorting", """name="it's mine\"""")
    assert len(records()) == 2
    assert json.loads((tmp_path / "outputs" / "sweeps" / "it's mine" / "sweep.json").read_text()) == {
        "varied": ["orderer"],
        "num_runs": 2,
    }


def test_a_repeated_sweep_is_the_same_sweep(tmp_path, monkeypatch):
    write_texts(tmp_path)
    for _ in range(2):
        command(monkeypatch, "-m", *QUICK, "orderer=shuffle,sorting")
    assert len(list(Path("outputs/sweeps").iterdir())) == 1
