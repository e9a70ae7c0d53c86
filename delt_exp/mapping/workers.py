"""Independent processes that share one piece of work: no group, no ranks that wait for each other."""

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from delt_exp.distributed import processes
from delt_exp.distributed.job import write_job
from delt_exp.progress import say
from delt_exp.store.file_lock import check_locks

WORKER = "delt_exp.worker"
CALLER = "DELT_EXP_CALLER"  # environment variable: id of the process that a worker ends with
WATCH_SECONDS = 0.5
GRACE_SECONDS = 5.0  # from SIGTERM to SIGKILL


def run_workers(
    function: Callable[[Any], None], argument: Any, shared: Path, spread: processes.Spread, most: int,
    watch: Callable[[], None],
) -> None:  # fmt: skip
    """Call `function(argument)` in `spread.devices` processes of each machine, until all have ended, well or not.

    The argument travels as a job in the folder `shared`. A worker that is killed is named, and the others go on. most:
    on one machine, more workers are of no use. watch: called twice a second.
    """
    check_locks(shared)
    if spread.num_nodes > 1 or spread.jobs_dir is not None:
        processes.run_in_processes(function, (argument,), spread, shared)
        return
    job, count = write_job(shared / "job", function, argument), min(spread.devices, most)
    workers = [_start(job, rank, count) for rank in range(count)]
    try:
        while any(worker.poll() is None for worker in workers):
            time.sleep(WATCH_SECONDS)
            watch()
    finally:
        _end(workers)
    for rank, worker in enumerate(workers):
        if worker.returncode:
            say(f"worker {rank} of {len(workers)} ended with status {worker.returncode}")


def _start(job: Path, rank: int, num_workers: int) -> "subprocess.Popen[bytes]":
    own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": num_workers, "LOCAL_WORLD_SIZE": num_workers,
           CALLER: os.getpid()}  # fmt: skip
    path = os.pathsep.join(filter(None, sys.path))  # what the caller imports from
    environment = {**os.environ, **{name: str(value) for name, value in own.items()}, "PYTHONPATH": path}
    return subprocess.Popen([sys.executable, "-m", WORKER, str(job)], env=environment)


def _end(workers: "list[subprocess.Popen[bytes]]") -> None:
    for worker in workers:
        worker.terminate()
    for worker in workers:
        try:
            worker.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def end_with_caller() -> None:
    """End this process when the one that started it as a worker is gone; a worker that joined by itself goes on."""
    if CALLER in os.environ:
        processes.end_with_parent(int(os.environ[CALLER]))


def is_worker() -> bool:
    """Whether this process is one of several that share the work."""
    return "LOCAL_RANK" in os.environ


def share_threads() -> None:
    """Give this worker its share of the cores, if it computes with torch."""
    if "torch" in sys.modules:
        processes.share_threads(int(os.environ["LOCAL_WORLD_SIZE"]))


def free_gpu() -> None:
    """Give back the GPU memory of models that nobody holds any more; other processes may need it next."""
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_initialized():
        gc.collect()
        sys.modules["torch"].cuda.empty_cache()


def local_device(device: str) -> str:
    """Return the device of this worker: each of a machine has a GPU of its own."""
    return f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" else device
