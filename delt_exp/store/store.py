"""Finished stages, kept by their inputs and never computed twice.

A stage is a folder `<root>/<stage>/<key>`, where the key is a hash of everything that decides its content. Work happens
in `<key>.work` and is renamed at the end, so a folder that exists is complete. `entry.json` in it holds the inputs and
the SHA-256 of every file: damage is noticed, reported and repaired by computing again. A lock file lets two processes
that need the same stage share one computation.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from delt_exp.config.fields import check_settings
from delt_exp.errors import DataError
from delt_exp.files import digest, disk_errors, file_sha256, locked, obey_umask, read_json, write_json
from delt_exp.progress import say
from delt_exp.store.attempt import FILE as ATTEMPT
from delt_exp.store.attempt import Attempt
from delt_exp.store.file_lock import check_locks
from delt_exp.store.memory import PeakMemory

ENTRY = "entry.json"


class _AbsentError(Exception):
    """A stage that was only looked for would have to be computed."""


@dataclass(frozen=True)
class StageUse:
    """How one stage was obtained: computed here, or cached.

    seconds: spent by this process, waiting and checking included. within: the stage whose build asked for it, or what
    it `serves`; None where the run itself did. cost: build_seconds (all attempts, stages inside included), cpu_seconds
    (of the process, without stages inside; None where that is not known or not all), peak_bytes, cuda_peak_bytes, and
    `used`, what the stages inside cost.
    """

    stage: str
    key: str
    path: Path
    cached: bool
    seconds: float
    within: str | None
    cost: Mapping[str, Any]


@dataclass
class Store:
    """Finds or builds stages under `root`; `uses` lists every stage asked for, in order.

    verify: `hash` reads every file of a cached stage again and compares SHA-256; `size` compares sizes only, for
    corpora so large that reading them costs more than the risk.
    """

    root: Path
    verify: Literal["hash", "size"]
    uses: list[StageUse] = field(default_factory=list, init=False)
    _attempts: list[Attempt] = field(default_factory=list, init=False)  # under way, outermost first
    _served: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        check_settings(Store, vars(self), "store")
        self.root = Path(self.root).absolute()

    @contextmanager
    def serves(self, purpose: str) -> Iterator[None]:
        """Inside, charge to `purpose` what the run itself asks for; stages asked for by a stage are charged to that."""
        before, self._served = self._served, purpose
        try:
            yield
        finally:
            self._served = before

    def get(
        self, stage: str, inputs: Mapping[str, Any], build: Callable[[Path], None], *, resumable: bool = False
    ) -> StageUse:
        """Return the stage for `inputs`, calling `build(folder)` only when it is new or damaged.

        A resumable build finds in `folder` what an interrupted call left there. Raises StoreError when the folder
        cannot be written, the disk is full, or the file system has no file locks.
        """
        started, cpu_started = time.monotonic(), time.process_time()
        key = stage_key(stage, inputs)
        path = self.root / stage / key
        with disk_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            cached = path.exists() and not self.damage(path)
            if not cached:
                check_locks(self.root)
                with locked(path, f"store: another process computes {stage}/{key}; waiting for it"):
                    cached = self._is_sound(path)  # another process may have finished it meanwhile
                    if not cached:
                        self._build(stage, inputs, build, path, resumable)
        try:
            cost = read_json(path / ENTRY)["cost"]
        except FileNotFoundError:  # freed by another process a moment ago
            return self.get(stage, inputs, build, resumable=resumable)
        with suppress(OSError):  # a store that may only be read
            os.utime(path / ENTRY)  # the time of last use decides what `free` removes first
        within = self._attempts[-1].stage if self._attempts else self._served
        use = StageUse(stage, key, path, cached, time.monotonic() - started, within, cost)
        self.uses.append(use)
        if self._attempts:
            self._attempts[-1].leave_out(use.seconds, time.process_time() - cpu_started)
        return use

    def find(self, stage: str, inputs: Mapping[str, Any]) -> StageUse | None:
        """Return the stage for `inputs`; None where it is missing or damaged and would have to be computed."""

        def absent(folder: Path) -> None:
            raise _AbsentError

        if not (self.root / stage / stage_key(stage, inputs)).exists():
            return None
        try:
            return self.get(stage, inputs, absent)
        except _AbsentError:
            return None

    def _build(
        self, stage: str, inputs: Mapping[str, Any], build: Callable[[Path], None], path: Path, resumable: bool
    ) -> None:
        work = path.with_name(f"{path.name}.work")
        if not resumable:
            shutil.rmtree(work, ignore_errors=True)
        work.mkdir(exist_ok=True)
        peak, before, attempt = PeakMemory(), len(self.uses), Attempt(work)
        self._attempts.append(attempt)
        try:
            with peak.measure():
                build(work)
        except BaseException:
            if not resumable:
                shutil.rmtree(work, ignore_errors=True)
            raise
        finally:
            self._attempts.pop().end()
        cpu_seconds, own_seconds = attempt.cpu_seconds, attempt.seconds
        cost: dict[str, Any] = {
            "build_seconds": own_seconds + attempt.elsewhere_seconds,
            "cpu_seconds": cpu_seconds,
            "peak_bytes": peak.resident_bytes,
            "cuda_peak_bytes": peak.cuda_bytes,
        }
        cost["used"] = _used(f"{stage}/{path.name}", cost, own_seconds, self.uses[before:])
        files = {str(f.relative_to(work)): [f.stat().st_size, file_sha256(f)] for f in _files(work)}
        write_json(work / ENTRY, {"stage": stage, "inputs": inputs, "cost": cost, "files": files})
        for name in files:  # some libraries write files that only their owner may read
            obey_umask(work / name)
        work.rename(path)
        (path / ATTEMPT).unlink(missing_ok=True)  # last: a call that was killed while it hashed keeps its cost

    def _is_sound(self, path: Path) -> bool:
        """Whether a stage is there and undamaged; what is damaged is reported and removed. Call with its lock held."""
        if not path.exists():
            return False
        damage = self.damage(path)
        if not damage:
            return True
        say(f"store: {path} is damaged ({damage}); computing it again")
        shutil.rmtree(path)
        return False

    def damage(self, path: Path) -> str:
        """Return what is wrong with a finished stage, or an empty string."""
        try:
            files = read_json(path / ENTRY)["files"]
        except (OSError, DataError, KeyError):
            return f"{ENTRY} is missing or unreadable"
        for name, (size, sha256) in files.items():
            file = path / name
            if not file.exists():
                return f"{name} is missing"
            if file.stat().st_size != size:
                return f"{name} has {file.stat().st_size} bytes instead of {size}"
            if self.verify == "hash" and file_sha256(file) != sha256:
                return f"the content of {name} has changed"
        return ""


def stage_key(stage: str, inputs: Mapping[str, Any]) -> str:
    """Return the 16 hex digits that name a stage with these inputs."""
    return digest(stage, inputs)


def _used(name: str, cost: Mapping[str, Any], own_seconds: float, inner: Sequence[StageUse]) -> dict[str, Any]:
    """Return what a stage and all stages under it took, by name, each without those inside it."""
    used = {name: {**cost, "build_seconds": own_seconds}}
    for use in inner:
        used |= use.cost.get("used", {f"{use.stage}/{use.key}": use.cost})
    return used


def _files(folder: Path) -> list[Path]:
    own = (folder / ENTRY, folder / ATTEMPT)
    return sorted(f for f in folder.rglob("*") if f.is_file() and f not in own)
