"""Runs one function in several processes of this machine, as ranks of one `torch.distributed` group to be."""

import signal
import threading
from collections.abc import Callable
from typing import Any

from delt_exp.errors import DeltError
from delt_exp.runtime import quiet


def run_in_processes(function: Callable[..., Any], arguments: tuple[Any, ...], num_processes: int) -> Any:
    """Call `function(*arguments)` once in each process, with torchrun's environment, and return what rank 0 returns.

    Function and arguments travel by pickle within this machine. Every call has a port of its own. When one rank fails
    the others are ended; raises DeltError with its message.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1, max_nodes=1, nproc_per_node=num_processes, rdzv_backend="c10d", rdzv_endpoint="localhost:0",
        run_id="delt-exp", max_restarts=0, monitor_interval=0.2,
    )  # fmt: skip
    quiet()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return elastic_launch(config, function)(*arguments)[0]
    except SignalException as error:
        raise KeyboardInterrupt from error
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        message = failure.message["message"] if isinstance(failure.message, dict) else failure.message
        raise DeltError(f"process {rank} of {num_processes} failed: {message}") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():  # the launcher leaves its own behind
                signal.signal(number, handler)


def join_group(device: str, num_processes: int) -> bool:
    """Make this process a rank of the default group, with its share of the machine; return whether it is rank 0."""
    from lightning_fabric import Fabric

    share_threads(num_processes)
    quiet()
    fabric = Fabric(accelerator=device, devices=num_processes, strategy="ddp")
    fabric.launch()
    return fabric.is_global_zero


def share_threads(num_processes: int) -> None:
    """Give this process its share of the cores when several compute on the CPU."""
    import torch

    if num_processes > 1 and not torch.cuda.is_available():
        torch.set_num_threads(max(1, torch.get_num_threads() // num_processes))
