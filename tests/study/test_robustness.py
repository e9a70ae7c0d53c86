"""Killed runs, a full disk and another version of the code during a study: nothing is lost and nothing mixed up."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from delt_exp.errors import DataError
from delt_exp.scorer.random import RandomScorer
from delt_exp.store.store import Store
from delt_exp.study.record import read_study
from delt_exp.trainer import stage as stage_module
from tests.study.small_study import result, run_study, times_computed, write_study_texts

pytestmark = pytest.mark.slow

LONG = ("training.max_tokens=2_560", "trainer.checkpoint_steps=5")  # 40 steps


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return write_study_texts(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def undisturbed(texts, tmp_path_factory):
    return run_study(texts, tmp_path_factory.mktemp("undisturbed"), *LONG)


def results(study):
    """Return what the runs of a finished study found out."""
    assert study.finished() == study.runs
    return [result(run) for run in study.runs]


def workers():
    """Return the processes that joblib started for this one."""
    tasks = Path("/proc/self/task").glob("*/children")
    pids = {int(pid) for task in tasks for pid in task.read_text().split()}
    return sorted(pid for pid in pids if b"popen_loky" in Path(f"/proc/{pid}/cmdline").read_bytes())


def kill_a_worker_in_training(store, killed):
    """Wait for the first checkpoint of any training, then kill a process of the sweep."""
    while not list(store.glob("model/*.work/checkpoints/*.sha256")):
        time.sleep(0.01)
    killed.append(workers()[0])
    os.kill(killed[0], signal.SIGKILL)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes in /proc")
def test_a_sweep_whose_run_was_killed_says_so_and_continues_when_repeated(texts, tmp_path, undisturbed, capsys):
    killed = []
    watcher = threading.Thread(target=kill_a_worker_in_training, args=(tmp_path / "store", killed), daemon=True)
    watcher.start()
    with pytest.raises(SystemExit) as status:
        run_study(texts, tmp_path, *LONG, "hydra/launcher=parallel")
    assert status.value.code == 1
    assert "a run ended without a result" in capsys.readouterr().err
    assert not {*killed} & {*workers()}
    study = run_study(texts, tmp_path, *LONG)
    assert "training continues from step" in capsys.readouterr().err
    assert results(study) == results(undisturbed)


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, of 32 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_fails_with_its_cure_and_the_repeated_study_is_complete(texts, disk, undisturbed, capsys):
    status = os.statvfs(disk)
    (disk / "ballast").write_bytes(bytes(status.f_bavail * status.f_frsize - 500_000))
    with pytest.raises(SystemExit) as leave:
        run_study(texts, disk / "out", *LONG)
    assert leave.value.code == 1
    assert "the disk is full: free space" in capsys.readouterr().err
    store = Store(disk / "out" / "store", verify="hash")
    stages = [path for path in store.root.glob("*/*") if path.is_dir() and path.suffix != ".work"]
    assert {path.parent.name for path in stages} >= {"corpus", "tokens", "scores"}
    assert not [store.damage(path) for path in stages if store.damage(path)]
    (disk / "ballast").unlink()
    assert results(run_study(texts, disk / "out", *LONG)) == results(undisturbed)


def test_another_version_of_the_code_computes_what_it_changes_and_mixes_in_nothing(
    texts, tmp_path, undisturbed, monkeypatch
):
    root, before = undisturbed.folder.parent / "store", times_computed(undisturbed)
    monkeypatch.setattr(stage_module, "FORMAT", stage_module.FORMAT + 1)
    computed = times_computed(run_study(texts, tmp_path, *LONG, f"store.root={root}"))
    assert {name.split("/")[0] for name, count in computed.items() if count} == {"model", "evaluation"}
    assert all((root / name).exists() for name in before)  # for who goes back to the first version

    def fail(*_):
        raise DataError("this version cannot score")

    monkeypatch.setattr(RandomScorer, "VERSION", RandomScorer.VERSION + 1)
    monkeypatch.setattr(RandomScorer, "score", fail)
    with pytest.raises(SystemExit):
        run_study(texts, tmp_path, *LONG, f"store.root={root}")
    study, _ = read_study(tmp_path / "order_only")
    assert len(study.failed()) == 2
    assert not study.finished()  # the results of the version before are no results of this one
