"""Runs one function on several nodes of a Slurm allocation.

One `srun` job step starts an agent (`node_agent.py`) on every node. The agents fetch their work from the caller
over an authenticated socket, meet in the caller's `TCPStore`, run the ranks of their node and answer.
"""

import os
import pickle
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Listener
from pathlib import Path
from threading import Thread
from typing import Any

from delt_exp.errors import ConfigError, DeltError

KEY = "DELT_EXP_AGENT_KEY"
PATIENCE_SECONDS = 30  # a network file system may show a new file late
GRACE_SECONDS = 60  # for job steps that are asked to end


@dataclass(frozen=True)
class Work:
    """What every agent is given."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    devices: int
    num_nodes: int
    meeting_port: int
    token: Path
    patience_seconds: float


@dataclass(frozen=True)
class Answer:
    """What an agent says: what rank 0 returned if it ran there, or what went wrong."""

    of_rank_0: Mapping[int, Any]
    error: str


def check_nodes(num_nodes: int) -> None:
    """Raise ConfigError outside a Slurm allocation of at least `num_nodes` nodes."""
    cure = f"start the run by sbatch --nodes={num_nodes} or with hydra/launcher=slurm_nodes, or use trainer.num_nodes=1"
    if "SLURM_JOB_ID" not in os.environ or shutil.which("srun") is None:
        raise ConfigError(f"trainer.num_nodes={num_nodes} needs a Slurm allocation, and this is none; {cure}")
    allocated = int(os.environ["SLURM_JOB_NUM_NODES"])
    if allocated < num_nodes:
        raise ConfigError(f"trainer.num_nodes={num_nodes}, but this Slurm allocation has {allocated} nodes; {cure}")


def run_on_nodes(
    function: Callable[..., Any], arguments: tuple[Any, ...], devices: int, num_nodes: int, shared: Path
) -> Any:
    """`run_in_processes` for several nodes."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    check_nodes(num_nodes)
    key = secrets.token_hex(16)
    meeting = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    with _token(shared) as token, Listener(("", 0), backlog=num_nodes, authkey=key.encode()) as listener:
        work = Work(function, arguments, devices, num_nodes, meeting.port, token, PATIENCE_SECONDS)
        desk = _Desk(listener, pickle.dumps(work), num_nodes)
        status = _run_step(num_nodes, listener.address[1], key)
    return desk.result(status)


@contextmanager
def _token(shared: Path) -> Iterator[Path]:
    """Leave a file in `shared` that other nodes can look for."""
    path = shared / f".seen-{secrets.token_hex(4)}"
    path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


class _Desk:
    """Hands the work to every agent that calls, and keeps their answers in the order they come."""

    def __init__(self, listener: Listener, work: bytes, num_nodes: int) -> None:
        self.listener, self.work = listener, work
        self.answers: list[Answer] = []
        self.agents: list[Any] = []  # an agent whose connection closes takes the caller for dead
        # Daemons, because an agent that never calls leaves its thread waiting.
        self.threads = [Thread(target=self._attend, daemon=True) for _ in range(num_nodes)]
        for thread in self.threads:
            thread.start()

    def _attend(self) -> None:
        with suppress(OSError, EOFError):
            agent = self._next_agent()
            self.agents.append(agent)
            agent.send_bytes(self.work)
            self.answers.append(pickle.loads(agent.recv_bytes()))

    def _next_agent(self) -> Any:
        while True:
            with suppress(AuthenticationError, EOFError, ConnectionError):  # somebody else tried this port
                return self.listener.accept()

    def result(self, status: int) -> Any:
        """Return what rank 0 returned; raises DeltError when the job step ended with another status than 0."""
        for thread in self.threads:
            thread.join(1 if status else None)
        errors = [answer.error for answer in self.answers if answer.error]
        if status:
            raise DeltError("; ".join(errors) or f"srun ended with status {status}; its messages stand above")
        results = [answer.of_rank_0[0] for answer in self.answers if answer.of_rank_0]
        if not results:
            raise DeltError("the job step ended well, but the answer of rank 0 did not arrive; repeat the command")
        return results[0]


def _run_step(num_nodes: int, port: int, key: str) -> int:
    """Run an agent on every node by one job step and return its status."""
    command = [
        "srun", f"--nodes={num_nodes}", f"--ntasks={num_nodes}", "--ntasks-per-node=1",
        "--overlap",  # with the step that this process may be itself
        "--cpu-bind=none", "--export=ALL", "--input=none", "--kill-on-bad-exit=1",
        sys.executable, "-m", "delt_exp.distributed.node_agent", str(port),
    ]  # fmt: skip
    environment = {**os.environ, KEY: key, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    step = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        return step.wait()
    except BaseException:
        step.terminate()
        try:
            step.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            step.kill()
        raise
