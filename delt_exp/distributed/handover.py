"""How a run hands jobs to workers on other machines: by files in a folder that all of them see, and nothing else.

The run holds a lock in its folder as long as it lives, and each worker holds one there, so that either side notices
when the other is gone: no listener, no heartbeat, no clock. A job is a numbered folder: `job.json`, then `done-RANK` of
every process, or `failed`, which the first process that fails writes and the others end by.
"""

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import IO, Any

from delt_exp.distributed.job import FILE, write_job
from delt_exp.errors import ConfigError, DeltError, DivergedError, StoreError
from delt_exp.progress import say
from delt_exp.store.file_lock import CURE, hold, is_held, is_locked

HELD, PROCESSES, FAILED, OVER = "held", "processes", "failed", "over"
POLL_SECONDS = 0.2
PATIENCE_SECONDS = 30  # a network file system may show a new file late


class Handover:
    """The run's side: makes and holds `folder`, which must not exist yet, for `num_processes` workers."""

    def __init__(self, folder: Path, num_processes: int) -> None:
        self.folder, self.num_processes, self._num_jobs = folder, num_processes, 0
        folder.mkdir(parents=True)
        (folder / PROCESSES).write_text(str(num_processes))
        self._held = hold(folder / HELD)

    def write(self, function: Callable[..., Any], *arguments: Any) -> Path:
        """Write the next job; see `write_job`."""
        self._num_jobs += 1
        return write_job(self.folder / str(self._num_jobs), function, *arguments)

    def wait(self, job: Path) -> None:
        """Return when every worker has done the job; raises DeltError when one failed or is gone."""
        ranks = range(self.num_processes)
        while True:
            gone = [r for r in ranks if self._rank_file(r).exists() and not is_held(self._rank_file(r))]
            raise_failure(job)
            if all((job.parent / f"done-{rank}").exists() for rank in ranks):
                return
            if gone:  # looked for first: who ends in order leaves `done` or `failed` before
                raise DeltError(f"process {gone[0]} of {len(ranks)} ended without a message; its output may say why")
            time.sleep(POLL_SECONDS)

    def has_workers(self) -> bool:
        """Whether all workers have come."""
        return all(self._rank_file(rank).exists() for rank in range(self.num_processes))

    def _rank_file(self, rank: int) -> Path:
        return self.folder / f"rank-{rank}"

    def finish(self) -> None:
        """Let workers end well: there is nothing left to do."""
        if not self._held.closed:
            (self.folder / OVER).touch()
            self._held.close()

    def close(self) -> None:
        """Let workers end with an error, as they do when this process is killed, and remove the folder."""
        self._held.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def error_of(message: str) -> DeltError:
    """Return the error of "process R of N failed: KIND: WORDS": DivergedError, which callers wait for, or DeltError."""
    is_divergence = message.partition(" failed: ")[2].startswith(f"{DivergedError.__name__}: ")
    return DivergedError(message) if is_divergence else DeltError(message)


def raise_failure(job: Path) -> None:
    """Raise the error of the process that failed first, if one did; see `error_of`."""
    with suppress(FileNotFoundError):
        raise error_of((job.parent / FAILED).read_text(encoding="utf-8"))


def report_failure(job: Path, message: str) -> None:
    """Leave the message of this process, unless another failed first: later failures only follow from the first."""
    aside = job.parent / f".{FAILED}.{socket.gethostname()}.{os.getpid()}"
    aside.write_text(message, encoding="utf-8")
    with suppress(FileExistsError):
        os.link(aside, job.parent / FAILED)  # unlike renaming, refused where the file exists
    aside.unlink()


class Run:
    """The workers' side: a view of the run that holds `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: IO[bytes] = (folder / HELD).open("rb")

    def lives(self) -> bool:
        return is_locked(self._held)

    def check(self, num_processes: int) -> None:
        """Raise StoreError when its lock is not seen here, ConfigError when it wants another number of processes."""
        if not self.lives():
            raise StoreError(
                f"the run that holds {self.folder} has ended, or its file lock is not seen on {socket.gethostname()}: "
                f"if it still runs, {CURE}"
            )
        wanted = int((self.folder / PROCESSES).read_text())
        if wanted != num_processes:
            raise ConfigError(
                f"torchrun started {num_processes} processes, but the run has {wanted}: trainer.devices is torchrun's "
                "--nproc-per-node, trainer.num_nodes its --nnodes"
            )

    def jobs(self) -> Iterator[Path]:
        """Yield the jobs of the run, one after the other, until it is over; raises DeltError when it is gone.

        (Torchrun waits for minutes for the other nodes of a process that ended well.)
        """
        for number in count(1):
            job = self.folder / str(number) / FILE
            while not job.exists():
                if not self.lives():
                    if (self.folder / OVER).exists():
                        return
                    raise DeltError(f"the run that held {self.folder} failed or was killed")
                time.sleep(POLL_SECONDS)
            yield job


def run_of(place: Path) -> Run | None:
    """Return the run to work for: one that holds a folder in `place`, or that wrote `place`, if this is a job file.

    Waits until a run holds a folder. Of a job file without a held folder there is no run: None. Raises StoreError for a
    job file that this node does not see.
    """
    if place.name != FILE:
        return _next_run(place)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not place.exists():
        if time.monotonic() > deadline:
            raise StoreError(
                f"node {socket.gethostname()} does not see {place}; with several nodes the store must lie on a file "
                "system that all of them share: output_dir=FOLDER or store.root=FOLDER"
            )
        time.sleep(POLL_SECONDS)
    folder = place.parent.parent
    return Run(folder) if (folder / HELD).exists() else None


def _next_run(place: Path) -> Run:
    if os.environ.get("LOCAL_RANK") == "0":
        say(f"node {socket.gethostname()} waits for a run with trainer.jobs_dir={place}")
    while True:
        for held in sorted(place.glob(f"run-*/{HELD}")):
            if is_held(held):
                return Run(held.parent)
        time.sleep(POLL_SECONDS)
