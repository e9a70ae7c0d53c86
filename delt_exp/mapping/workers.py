"""Independent processes that share one piece of work: no group, no ranks that wait for each other."""

import gc
import os
import sys
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delt_exp.distributed import job as job_module
from delt_exp.distributed import processes
from delt_exp.progress import say
from delt_exp.runtime import quiet
from delt_exp.store.attempt import Attempt
from delt_exp.store.file_lock import check_locks

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

WATCH_SECONDS = 0.5
GRACE_SECONDS = 5.0  # from SIGTERM to SIGKILL


def run_workers(
    function: Callable[[Any], None], argument: Any, shared: Path, spread: processes.Spread, most: int,
    watch: Callable[[], None],
) -> None:  # fmt: skip
    """Call `function(argument)` in `spread.devices` processes of each machine, until all have ended, well or not.

    The argument travels as a job in the folder `shared`. On one machine, a worker that is killed is named and the
    others go on, at most `most` are started, because more would have nothing to do, and `watch` is called twice a
    second. On several machines a worker that fails ends all; raises DeltError then.
    """
    check_locks(shared)
    if spread.num_nodes > 1 or spread.jobs_dir is not None:
        processes.run_in_processes(function, (argument,), spread, shared)
        return
    Attempt.note_other_processes()
    job, count = job_module.write_job(shared / "job", function, argument), min(spread.devices, most)
    workers = [_start(job, rank, count) for rank in range(count)]
    try:
        while running := [worker.sentinel for worker in workers if worker.is_alive()]:
            wait(running, WATCH_SECONDS)
            watch()
    finally:
        _end(workers)
    for rank, worker in enumerate(workers):
        if worker.exitcode:
            say(f"worker {rank} of {len(workers)} ended with status {worker.exitcode}")


def _start(job: Path, rank: int, num_workers: int) -> "ForkServerProcess":
    own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": num_workers, "LOCAL_WORLD_SIZE": num_workers}
    environment = {**os.environ, **{name: str(value) for name, value in own.items()}}
    arguments = (processes.first_environment(), environment, job, job_module.PACKAGES)
    worker = processes.forked().Process(target=_work, args=arguments)
    worker.start()
    return worker


def _work(server: dict[str, str], environment: dict[str, str], job: Path, packages: tuple[str, ...]) -> None:
    """Do the job in a process of the server; it may name what the caller may name."""
    processes.enter(server, environment)
    quiet()
    job_module.PACKAGES = packages
    job_module.run_job(job)


def _end(workers: "list[ForkServerProcess]") -> None:
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join(GRACE_SECONDS)
        if worker.is_alive():
            worker.kill()
            worker.join()


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
