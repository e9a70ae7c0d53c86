"""Runs one function in several processes, as ranks of one `torch.distributed` group.

The caller stays the only process of its run: ranks know nothing of pipelines and sweeps.
"""

import atexit
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from delt_exp.distributed.handover import error_of
from delt_exp.distributed.nodes import run_by_srun, run_by_workers
from delt_exp.distributed.ranks import ProcessGroup, Ranks
from delt_exp.runtime import quiet
from delt_exp.store.attempt import Attempt

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext


class Spread(Protocol):
    """The processes that share work, as in `TrainerSettings`: `devices` on each of `num_nodes` nodes."""

    @property
    def devices(self) -> int: ...
    @property
    def num_nodes(self) -> int: ...
    @property
    def jobs_dir(self) -> str | None: ...


def run_in_processes(function: Callable[..., Any], arguments: tuple[Any, ...], spread: Spread, shared: Path) -> None:
    """Call `function(*arguments)` in every process of `spread`, as ranks with torchrun's environment.

    What the function makes it leaves in files. On this machine function and arguments travel through a pipe; on several
    nodes as a job (see `write_job`) in `shared`, an existing folder that all of them see. When one rank fails the
    others are ended. Raises DeltError with the message of the rank that failed, DivergedError where it raised that.
    """
    quiet()
    Attempt.note_other_processes()
    if spread.jobs_dir is not None:
        run_by_workers(function, arguments, spread.devices, spread.num_nodes, Path(spread.jobs_dir))
    elif spread.num_nodes > 1:
        run_by_srun(function, arguments, spread.devices, spread.num_nodes, shared)
    else:
        launch(function, arguments, spread.devices)


class GroupJob(Protocol):
    """Work that the processes of a group share."""

    @property
    def device(self) -> str:
        """`cuda` or `cpu`."""

    def unloaded(self) -> Self:
        """Return the same job for another process, which loads models by itself."""


Job = TypeVar("Job", bound=GroupJob)


def run_in_group(function: Callable[[Job, Path, Ranks | None], None], job: Job, folder: Path, spread: Spread) -> None:
    """Call `function(job, folder, ranks)` as ranks of one group; in this process, without ranks, where it is alone.

    folder: what the function leaves, which all processes see. Raises as `run_in_processes` does.
    """
    if spread.devices * spread.num_nodes == 1 and spread.jobs_dir is None:
        function(job, folder, None)
    else:
        run_in_processes(_run_rank, (function, job.unloaded(), folder), spread, folder)


def _run_rank(function: Callable[[Job, Path, Ranks], None], job: Job, folder: Path) -> None:
    join_group(job.device)
    function(job, folder, ProcessGroup())


def launch(function: Callable[..., Any], arguments: tuple[Any, ...], devices: int) -> dict[int, Any]:
    """Call `function(*arguments)` in `devices` processes of this machine and return what each rank returns.

    Every call has a port of its own. Raises DeltError with the message of the rank that failed.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=devices, rdzv_backend="c10d", rdzv_endpoint="localhost:0",
        run_id="delt-exp", max_restarts=0, monitor_interval=0.2, start_method=forked().get_start_method(),
    )  # fmt: skip
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return elastic_launch(config, _rank)(first_environment(), dict(os.environ), function, *arguments)
    except SignalException as error:
        raise KeyboardInterrupt from error
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        message = failure.message["message"] if isinstance(failure.message, dict) else failure.message
        raise error_of(f"process {rank} of {devices} failed: {message}") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():  # the launcher leaves its own behind
                signal.signal(number, handler)


def forked() -> "ForkServerContext":
    """Return the way to start processes that compute: from a server, which imports what they need only once.

    The server computes nothing: its processes are forked before there is a CUDA context or an OpenMP thread, which
    survive no fork. (OpenBLAS has threads by then, and handlers that start them.)
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytorch_lightning", "transformers.modeling_utils", "delt_exp.trainer.train"])
    return context


@cache
def first_environment() -> dict[str, str]:
    """Return the environment at the first call, with which the server then starts."""
    return dict(os.environ)


def enter(server: dict[str, str], caller: dict[str, str]) -> None:
    """Give this process, which the server forked, the environment of its caller, and end it when its caller ends."""
    for name in server.keys() | caller.keys():
        if os.environ.get(name) == server.get(name):  # torch sets the others, those of this rank
            if name in caller:
                os.environ[name] = caller[name]
            else:
                os.environ.pop(name, None)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_caller() -> None:  # the server is its child, this process is not
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=end_with_caller, daemon=True).start()


def _rank(server: dict[str, str], caller: dict[str, str], function: Callable[..., Any], *arguments: Any) -> Any:
    enter(server, caller)
    return function(*arguments)


def end_with_parent(parent: int) -> None:
    """End this process soon after `parent`, the id of the process that started it, is gone, however that ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def join_group(device: str) -> bool:
    """Make this process, started by `run_in_processes`, a rank of the default group; return whether it is rank 0.

    A worker that does several jobs stays in the group.
    """
    import torch
    from torch import distributed

    share_threads(int(os.environ["LOCAL_WORLD_SIZE"]))
    quiet()
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if device == "cuda" else "gloo")
        atexit.register(_leave_group)
    return distributed.get_rank() == 0


def _leave_group() -> None:
    from torch import distributed

    if distributed.is_initialized():  # Lightning may have left it
        distributed.destroy_process_group()


@cache  # once: each call would share what is left
def share_threads(num_processes: int) -> None:
    """Give this process its share of the cores when several of a machine compute on the CPU."""
    import torch

    if num_processes > 1 and not torch.cuda.is_available():
        torch.set_num_threads(max(1, torch.get_num_threads() // num_processes))
