"""Locks that end with the process that holds them, and file systems that have none."""

import errno
import fcntl
import os
import subprocess
import sys

import pytest

from delt_exp.errors import StoreError
from delt_exp.store.file_lock import check_locks, hold, is_held, is_locked
from delt_exp.store.store import Store

HOLDER = """
import sys, time
from pathlib import Path
from delt_exp.store.file_lock import hold
file = hold(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def every_folder_is_new():
    check_locks.cache_clear()


def test_a_lock_lasts_as_long_as_the_process_that_holds_it(tmp_path):
    path = tmp_path / "held"
    assert not is_held(path)
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE)
    process.stdout.readline()
    with path.open("rb") as file:
        assert is_held(path)
        assert is_locked(file)
        process.kill()
        process.wait()
        assert not is_held(path)
        with hold(path):  # another file of the same name
            assert is_held(path)
            assert not is_locked(file)


def test_a_file_system_with_locks_is_accepted_and_left_clean(tmp_path):
    check_locks(tmp_path)
    assert not list(tmp_path.iterdir())


def no_lock(*_):
    """What `flock` does on Lustre mounted with localflock, between nodes, and in some containers: nothing."""


def refused(number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    return flock


@pytest.mark.parametrize(
    ("flock", "reason"),
    [
        (no_lock, "two processes got the same lock"),
        (refused(errno.ENOSYS), "the lock was refused: Function not implemented"),
        (refused(errno.ENOLCK), "the lock was refused: No locks available"),
    ],
    ids=["accepted", "lustre", "nfs"],
)
def test_a_store_without_locks_is_refused_before_anything_is_computed(tmp_path, monkeypatch, flock, reason):
    monkeypatch.setattr(fcntl, "flock", flock)
    computed = []
    with pytest.raises(
        StoreError, match=rf"file locks \(flock\) do not work in {tmp_path}: {reason}; mount .*store.root="
    ):
        Store(tmp_path, verify="hash").get("corpus", {}, computed.append)
    assert not computed
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_locks_are_tried_once_for_a_store_and_not_for_what_is_cached(tmp_path, monkeypatch):
    Store(tmp_path, verify="hash").get("corpus", {"text": 1}, lambda folder: None)
    check_locks(tmp_path)
    assert (check_locks.cache_info().misses, check_locks.cache_info().hits) == (1, 1)
    check_locks.cache_clear()
    assert Store(tmp_path, verify="hash").get("corpus", {"text": 1}, lambda folder: None).cached
    assert check_locks.cache_info().misses == 0
