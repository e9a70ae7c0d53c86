"""What ranks do in the tests of several nodes; imports little, because every rank is a new process."""

import os
import time
from pathlib import Path

from delt_exp.distributed.processes import join_group
from delt_exp.errors import DeltError


def sum_of_ranks(file: Path) -> None:
    """Join the group; rank 0 writes the world size and the sum of 1 + rank over all ranks."""
    import torch
    import torch.distributed as dist

    is_first = join_group("cpu")
    total = torch.tensor(1 + dist.get_rank())
    dist.all_reduce(total)
    if is_first:
        file.write_text(f"{dist.get_world_size()} {int(total)}")


def environment() -> tuple[str | None, str]:
    """Return what the caller set, and what torch set."""
    return os.environ.get("OF_THE_CALLER"), os.environ["RANK"]


def fail_on_rank_1() -> None:
    if os.environ["RANK"] == "1":
        raise DeltError("no such luck")
    time.sleep(600)


def wait_for_ever(folder: Path) -> None:
    (folder / f"rank-{os.environ['RANK']}").write_text(str(os.getpid()))
    time.sleep(600)


def how_threads_wait() -> str | None:
    """Return what OpenMP was told before torch was loaded in this rank."""
    return os.environ.get("OMP_WAIT_POLICY")
