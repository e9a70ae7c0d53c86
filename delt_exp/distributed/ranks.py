"""Sharing samples among the processes of one run: every process computes its share, sums put the shares together."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Ranks(Protocol):
    """The processes that share one piece of work; each holds the whole model and the same settings."""

    rank: int
    world_size: int

    def sum(self, tensor: "Tensor") -> "Tensor":
        """The sum of `tensor` over all processes, the same bits on each; may be computed in place."""
        ...

    def barrier(self) -> None:
        """Return when every process has called it."""


class SingleProcess:
    """One process that has everything."""

    rank = 0
    world_size = 1

    def sum(self, tensor: "Tensor") -> "Tensor":
        return tensor

    def barrier(self) -> None:
        """Nobody to wait for."""


class ProcessGroup:
    """The default group of `torch.distributed`, also where Lightning Fabric set it up."""

    def __init__(self) -> None:
        import torch.distributed as dist  # settings name this module, and a cached run never imports torch

        self.rank = dist.get_rank()
        self.world_size = dist.get_world_size()

    def sum(self, tensor: "Tensor") -> "Tensor":
        import torch.distributed as dist

        dist.all_reduce(tensor)
        return tensor

    def barrier(self) -> None:
        import torch.distributed as dist

        dist.barrier()


def all_agree(ranks: Ranks, here: bool, device: "torch.device") -> bool:
    """Whether `here` is true on every process."""
    import torch

    return int(ranks.sum(torch.tensor(int(here), device=device))) == ranks.world_size
