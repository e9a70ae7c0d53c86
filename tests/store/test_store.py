"""The store: computed once, found by content, nothing half-written, damage noticed."""

import errno
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from delt_exp.errors import ConfigError, StoreError
from delt_exp.files import digest, read_json
from delt_exp.store import attempt
from delt_exp.store.store import ENTRY, Store


def writer(text, calls):
    def build(folder):
        calls.append(text)
        (folder / "data.txt").write_text(text)

    return build


def test_a_stage_is_built_once_and_then_found(tmp_path):
    store, calls = Store(tmp_path, "hash"), []
    first = store.get("s", {"x": 1}, writer("one", calls))
    again = store.get("s", {"x": 1}, writer("one", calls))
    assert (first.cached, again.cached, calls) == (False, True, ["one"])
    assert (again.path / "data.txt").read_text() == "one"
    assert [use.stage for use in store.uses] == ["s", "s"]


def test_other_inputs_or_another_stage_are_another_entry(tmp_path):
    store, calls = Store(tmp_path, "hash"), []
    paths = {store.get(stage, {"x": x}, writer("t", calls)).path for stage in "ab" for x in (1, 2, 1.5, "1", None)}
    assert len(paths) == len(calls) == 10


def test_the_order_of_inputs_does_not_matter():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "entry"])
def test_damage_is_noticed_reported_and_repaired(tmp_path, damage, capsys):
    store, calls = Store(tmp_path, "hash"), []
    path = store.get("s", {}, writer("precious", calls)).path
    file = path / "data.txt"
    if damage == "flip":
        file.write_text("Precious")
    elif damage == "truncate":
        file.write_text("prec")
    elif damage == "delete":
        file.unlink()
    else:
        (path / ENTRY).write_text("{")
    use = store.get("s", {}, writer("precious", calls))
    assert (use.cached, file.read_text(), len(calls)) == (False, "precious", 2)
    assert "damaged" in capsys.readouterr().err


def test_size_check_trusts_content_and_hash_check_does_not(tmp_path):
    calls = []
    path = Store(tmp_path, "hash").get("s", {}, writer("abc", calls)).path
    (path / "data.txt").write_text("abd")
    assert Store(tmp_path, "size").damage(path) == ""
    assert "data.txt" in Store(tmp_path, "hash").damage(path)


def test_a_stage_that_is_only_looked_for_is_none_where_it_is_missing_or_damaged(tmp_path):
    store, calls = Store(tmp_path, "hash"), []
    assert store.find("s", {}) is None
    path = store.get("s", {}, writer("precious", calls)).path
    assert store.find("s", {}).path == path
    (path / "data.txt").write_text("Precious")
    assert store.find("s", {}) is None
    assert store.get("s", {}, writer("precious", calls)).cached is False


def test_a_failed_build_leaves_nothing_behind(tmp_path):
    def fail(folder):
        (folder / "half").write_text("x")
        raise ValueError("boom")

    store = Store(tmp_path, "hash")
    with pytest.raises(ValueError, match="boom"):
        store.get("s", {}, fail)
    assert [f for f in (tmp_path / "s").iterdir() if f.suffix != ".lock"] == []


def test_a_resumable_build_finds_what_an_interrupted_one_left(tmp_path):
    seen = []

    def build(folder):
        seen.append([f.name for f in folder.iterdir() if f.name != attempt.FILE])
        (folder / "part").write_text("x")
        if len(seen) == 1:
            raise KeyboardInterrupt

    store = Store(tmp_path, "hash")
    with pytest.raises(KeyboardInterrupt):
        store.get("s", {}, build, resumable=True)
    store.get("s", {}, build, resumable=True)
    assert seen == [[], ["part"]]


def test_a_full_disk_is_one_clear_error(tmp_path):
    def build(folder):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder / "data"))

    store = Store(tmp_path, "hash")
    with pytest.raises(StoreError, match="disk is full"):
        store.get("s", {}, build)
    assert not list((tmp_path / "s").glob("*.work"))


@pytest.mark.parametrize(
    "error",
    [
        OSError("100000 requested and 12784 written"),  # numpy
        RuntimeError("I/O error: No space left on device (os error 28)"),  # safetensors
    ],
)
def test_a_full_disk_told_in_words_is_understood(tmp_path, error):
    def build(folder):
        raise error

    with pytest.raises(StoreError, match="disk is full"):
        Store(tmp_path, "hash").get("s", {}, build)


def test_a_stage_freed_while_it_is_asked_for_is_built_again(tmp_path, monkeypatch):
    store, calls = Store(tmp_path, "hash"), []
    path = store.get("s", {}, writer("x", calls)).path
    original = Store.damage

    def free_then_say_sound(self, found):
        damage = original(self, found)
        monkeypatch.setattr(Store, "damage", original)
        shutil.rmtree(path)
        return damage

    monkeypatch.setattr(Store, "damage", free_then_say_sound)
    assert store.get("s", {}, writer("x", calls)).cached is False
    assert len(calls) == 2


def test_a_file_in_the_way_of_the_store_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="choose another"):
        Store(tmp_path / "file", "hash").get("s", {}, lambda folder: None)


def test_unknown_verification_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"store\.verify=.sometimes. .*one of: hash, size"):
        Store(tmp_path, "sometimes")


BUILDER = """
import sys, time
from pathlib import Path
from delt_exp.store.store import Store
root = Path(sys.argv[1])
def build(folder):
    with open(root / "builds", "a") as f: f.write("x")
    time.sleep(1.0)
    (folder / "data.txt").write_text("done")
use = Store(root / "store", "hash").get("s", {"k": 1}, build)
print((use.path / "data.txt").read_text())
"""


@pytest.mark.slow
def test_two_processes_that_need_the_same_stage_compute_it_once(tmp_path):
    command = [sys.executable, "-c", BUILDER, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=-1, stderr=-1, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [out.strip() for out, _ in outputs] == ["done", "done"]
    assert (tmp_path / "builds").read_text() == "x"
    assert any("waiting" in err for _, err in outputs)


@pytest.mark.slow
def test_a_killed_build_leaves_no_entry_and_the_next_process_builds_it(tmp_path):
    command = [sys.executable, "-c", BUILDER, str(tmp_path)]
    process = subprocess.Popen(command)
    while not (tmp_path / "builds").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    entries = [f for f in (tmp_path / "store" / "s").iterdir() if f.suffix == ""]
    assert entries == []
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "done"


def test_an_entry_says_what_it_was_made_from_and_what_it_cost(tmp_path):
    path = Store(tmp_path, "hash").get("s", {"lr": 0.1}, writer("x", [])).path
    entry = read_json(path / ENTRY)
    assert entry["inputs"] == {"lr": 0.1}
    assert entry["cost"]["peak_bytes"] > 1 << 20
    assert entry["files"]["data.txt"][0] == 1


def test_a_stage_knows_what_everything_it_was_made_of_took(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("delt_exp.store.store.time.monotonic", lambda: now[0])

    def spend(seconds, *nested):
        def build(folder):
            now[0] += seconds
            for stage in nested:
                store.get(*stage)

        return build

    store = Store(tmp_path, "hash")
    model = ("model", {}, spend(10))
    notes = ("annotation", {}, spend(30, model))  # finds the model that it asks for
    store.get(*model)
    first = store.get("scores", {"n": 1}, spend(1, model, notes))
    second = store.get(
        "scores", {"n": 2}, spend(2, notes)
    )  # finds the annotation, and so the model that it was made with

    def own(use):
        return {name.split("/")[0]: cost["build_seconds"] for name, cost in use.cost["used"].items()}

    assert own(first) == {"scores": 1, "annotation": 30, "model": 10}
    assert own(second) == {"scores": 2, "annotation": 30, "model": 10}
    assert first.cost["build_seconds"] == 31  # the annotation was built inside, the model before
    assert own(store.get("scores", {"n": 1}, spend(99))) == own(first)


def test_waiting_for_another_process_is_no_cost_of_a_stage(tmp_path, monkeypatch):
    now, model, others = [0.0], ("model", {}, writer("weights", [])), [Store(tmp_path, "hash")]
    monkeypatch.setattr("delt_exp.store.store.time.monotonic", lambda: now[0])

    @contextmanager
    def while_another_builds_it(path, message):
        if path.parent.name == "model" and others:
            others.pop().get(*model)
            now[0] += 100
        yield

    def build(folder):
        now[0] += 2
        store.get(*model)

    store = Store(tmp_path, "hash")
    monkeypatch.setattr("delt_exp.store.store.locked", while_another_builds_it)
    cost = store.get("scores", {}, build).cost
    assert [used["build_seconds"] for name, used in cost["used"].items() if name.startswith("scores")] == [2]


def test_a_continued_stage_counts_every_attempt_up_to_its_last_file(tmp_path, monkeypatch):
    now, stops = [1000.0], [True]
    for clock in ("time", "monotonic"):
        monkeypatch.setattr(f"delt_exp.store.attempt.time.{clock}", lambda: now[0])

    def spend_ten(folder):
        now[0] += 10

    def build(folder):
        store.get("model", {}, spend_ten)
        now[0] += 20
        (folder / "checkpoint").touch()
        os.utime(folder / "checkpoint", (now[0], now[0]))
        now[0] += 3  # lost with the process
        if stops.pop():
            raise KeyboardInterrupt

    store = Store(tmp_path, "hash")
    with pytest.raises(KeyboardInterrupt):
        store.get("scores", {}, build, resumable=True)
    now[0] += 5000
    stops.append(False)
    use = store.get("scores", {}, build, resumable=True)
    assert use.cost["used"][f"scores/{use.key}"]["build_seconds"] == 20 + 23
    assert sorted(path.name for path in use.path.iterdir()) == ["checkpoint", ENTRY]


def test_a_build_that_was_killed_when_only_its_files_were_to_be_hashed_keeps_its_cost(tmp_path, monkeypatch):
    now = [1000.0]
    for clock in ("time", "monotonic"):
        monkeypatch.setattr(f"delt_exp.store.attempt.time.{clock}", lambda: now[0])

    def build(folder):
        if not (folder / "result").exists():
            now[0] += 20
            (folder / "result").touch()
            os.utime(folder / "result", (now[0], now[0]))

    def killed(file):
        raise KeyboardInterrupt

    store = Store(tmp_path, "hash")
    with monkeypatch.context() as patch:
        patch.setattr("delt_exp.store.store.file_sha256", killed)
        with pytest.raises(KeyboardInterrupt):
            store.get("scores", {}, build, resumable=True)
    use = store.get("scores", {}, build, resumable=True)
    assert (use.cost["build_seconds"], use.cost["cpu_seconds"]) == (20, None)


def test_what_a_library_wrote_for_its_owner_alone_obeys_the_umask(tmp_path):
    """As safetensors does; others who share the store could not read the weights."""
    before = os.umask(0o027)
    try:
        path = Store(tmp_path, "hash").get("s", {}, lambda folder: (folder / "weights").touch(0o600)).path
    finally:
        os.umask(before)
    assert (path / "weights").stat().st_mode & 0o777 == 0o640


@pytest.mark.slow
def test_a_trained_model_can_be_read_by_others(tmp_path, monkeypatch):
    from tests.runs import command, write_texts

    write_texts(tmp_path)
    before = os.umask(0o022)
    try:
        command(monkeypatch, "scorer=random")
    finally:
        os.umask(before)
    files = [file for file in (tmp_path / "outputs").rglob("*") if file.is_file() and file.suffix != ".lock"]
    assert any(file.name == "model.safetensors" and "runs" in file.parts for file in files)
    assert not [file for file in files if file.stat().st_mode & 0o044 != 0o044]


def test_a_file_that_cannot_be_read_is_not_said_to_be_unwritable(tmp_path, monkeypatch):
    from delt_exp.files import disk_errors

    def nameless(_):
        raise KeyError("getpwuid(): uid not found")

    (tmp_path / "weights").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.R_OK)  # root may read anything
    monkeypatch.setattr(Path, "owner", nameless)  # as in many containers
    message = r"cannot read .*weights: no permission to read it; .*owner \(user \d+\)"
    with pytest.raises(StoreError, match=message), disk_errors(tmp_path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path / "weights"))


def test_cpu_time_is_that_of_the_stage_alone_and_not_known_where_it_is_not_all(tmp_path, monkeypatch):
    """A stage of 3 CPU seconds around one of 10; a build that was killed before; one with work in other processes."""
    now, stops = [0.0], [True]
    monkeypatch.setattr("delt_exp.store.store.time.process_time", lambda: now[0])  # one module for all

    def spend_ten(folder):
        now[0] += 10

    def build(folder):
        now[0] += 1
        store.get("model", {}, spend_ten)
        now[0] += 2

    def killed_once(folder):
        now[0] += 5
        (folder / "checkpoint").touch()
        if stops.pop():
            raise KeyboardInterrupt

    store = Store(tmp_path, "hash")
    used = store.get("scores", {"n": 1}, build).cost["used"]
    assert {name.split("/")[0]: one["cpu_seconds"] for name, one in used.items()} == {"scores": 3, "model": 10}
    with pytest.raises(KeyboardInterrupt):
        store.get("scores", {"n": 2}, killed_once, resumable=True)
    stops.append(False)
    assert store.get("scores", {"n": 2}, killed_once, resumable=True).cost["cpu_seconds"] is None
    spread = store.get("scores", {"n": 3}, lambda folder: attempt.Attempt.note_other_processes())
    assert spread.cost["cpu_seconds"] is None
    assert store.get("scores", {"n": 4}, lambda folder: None).cost["cpu_seconds"] == 0
