"""Runs a job on several nodes by torchrun: under Slurm started here by `srun`, elsewhere by whoever starts workers.

The run itself stays one process, on one node. Nodes find each other by host name and, as torchrun does everywhere, by
its `c10d` rendezvous.
"""

import atexit
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock

from delt_exp.distributed.handover import HELD, Handover, raise_failure
from delt_exp.errors import ConfigError, DeltError
from delt_exp.progress import say
from delt_exp.store.file_lock import check_locks, is_held

GRACE_SECONDS = 60  # for job steps that are asked to end


def check_nodes(devices: int, num_nodes: int, jobs_dir: str | None) -> None:
    """Raise ConfigError where processes cannot be started on `num_nodes` nodes; claim `jobs_dir` if it is given."""
    if jobs_dir is not None:
        _handover(Path(jobs_dir), devices * num_nodes)
        return
    cure = (
        f"start the run by sbatch --nodes={num_nodes} or with hydra/launcher=slurm_nodes; elsewhere start workers by "
        "torchrun and give trainer.jobs_dir=FOLDER (docs/howto/cluster.md); or use trainer.num_nodes=1"
    )
    if "SLURM_JOB_ID" not in os.environ or shutil.which("srun") is None:
        raise ConfigError(
            f"trainer.num_nodes={num_nodes} needs a Slurm allocation, and this process is in none; {cure}"
        )
    allocated = int(os.environ["SLURM_JOB_NUM_NODES"])
    if allocated < num_nodes:
        raise ConfigError(f"trainer.num_nodes={num_nodes}, but this Slurm allocation has {allocated} nodes; {cure}")


def run_by_srun(
    function: Callable[..., Any], arguments: tuple[Any, ...], devices: int, num_nodes: int, shared: Path
) -> None:
    """Call `function(*arguments)` in `devices` processes on each of `num_nodes` nodes of this Slurm allocation."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    check_nodes(devices, num_nodes, None)
    shutil.rmtree(shared / "job", ignore_errors=True)  # of a call that was killed
    handover = Handover(shared / "job", devices * num_nodes)
    try:
        job = handover.write(function, *arguments)
        # The nodes meet here, so that no port has to be guessed, and part when this process is gone.
        meeting = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
        options = [f"--rdzv-endpoint={socket.gethostname()}:{meeting.port}", "--rdzv-conf=is_host=0"]
        status = _run_step(num_nodes, [*torchrun(devices, num_nodes), *options, "-m", "delt_exp.worker", str(job)])
        raise_failure(job)
        if status:
            raise DeltError(f"srun ended with status {status}; see its messages above")
    finally:
        handover.close()


def torchrun(devices: int, num_nodes: int) -> list[str]:
    """Return the beginning of the command that starts the processes of one node."""
    return [
        sys.executable, "-m", "torch.distributed.run",
        f"--nnodes={num_nodes}", f"--nproc-per-node={devices}", "--rdzv-backend=c10d",
    ]  # fmt: skip


def _run_step(num_nodes: int, command: list[str]) -> int:
    """Run a command once on every node by one job step and return its status."""
    step_command = [
        "srun", f"--nodes={num_nodes}", f"--ntasks={num_nodes}", "--ntasks-per-node=1",
        "--overlap",  # with the step that this process may be itself
        "--cpu-bind=none", "--export=ALL", "--input=none", "--kill-on-bad-exit=1", *command,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    step = subprocess.Popen(step_command, env=environment, start_new_session=True)
    try:
        return step.wait()
    except BaseException:
        step.terminate()
        try:
            step.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            step.kill()
        raise


def run_by_workers(
    function: Callable[..., Any], arguments: tuple[Any, ...], devices: int, num_nodes: int, jobs_dir: Path
) -> None:
    """Call `function(*arguments)` in the workers of `jobs_dir`; waits for them to come."""
    handover = _handover(jobs_dir, devices * num_nodes)
    if not handover.has_workers():
        command = [*torchrun(devices, num_nodes), "--rdzv-endpoint=HOST:PORT", "-m", "delt_exp.worker", str(jobs_dir)]
        say(f"waiting for workers; on each of {num_nodes} nodes: {shlex.join(command)}")
    job = handover.write(function, *arguments)
    try:
        handover.wait(job)
    except DeltError:  # its workers end; those started next belong to the next job
        handover.close()
        _handover.cache_clear()
        raise
    shutil.rmtree(job.parent, ignore_errors=True)


@cache
def _handover(jobs_dir: Path, num_processes: int) -> Handover:
    """Hold a new run in `jobs_dir` until this process ends; raises ConfigError while another run does."""
    jobs_dir = jobs_dir.absolute()
    jobs_dir.mkdir(parents=True, exist_ok=True)
    check_locks(jobs_dir)
    with FileLock(jobs_dir / "claim.lock"):
        for run in jobs_dir.glob("run-*"):
            if is_held(run / HELD):
                raise ConfigError(f"trainer.jobs_dir={jobs_dir} serves another run; wait for it or choose another one")
            shutil.rmtree(run, ignore_errors=True)
        handover = Handover(jobs_dir / f"run-{secrets.token_hex(4)}", num_processes)
    atexit.register(handover.finish)
    return handover
