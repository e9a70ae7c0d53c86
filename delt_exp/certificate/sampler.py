"""A sampler that yields a dataset from its first item to its last, however many ranks share the work."""

from collections.abc import Callable, Iterator

import torch.distributed as dist
from torch.utils.data import Sampler, get_worker_info

from delt_exp.errors import ConfigError


class OrderedSampler(Sampler[int]):
    """Indices of one rank, so that micro-batch k of all W ranks together is the items [k W b, (k+1) W b).

    Give it to a `DataLoader` of the same `batch_size` b. num_items: of the dataset. rank, world_size: those of
    `torch.distributed` where they are None. start: items that training has consumed already; a function is asked each
    time iteration begins, as a trainer knows its step only after it has loaded a checkpoint. It may be any number, so
    that training may go on with other ranks. What is left at the end is shared as equally as it can be. Raises
    ConfigError where a rank would get nothing of it and wait forever; with a function, when iteration begins.

    Iterated inside a worker of a `DataLoader`, as an `IterableDataset` does, it gives the batches of that worker alone:
    the loader asks its workers in turn, and the order is the same as without any. A loader over a map-style dataset
    keeps the order by itself.
    """

    def __init__(
        self, num_items: int, batch_size: int = 1, *, rank: int | None = None, world_size: int | None = None,
        start: int | Callable[[], int] = 0,
    ) -> None:  # fmt: skip
        self.num_items, self.batch_size, self.start = num_items, batch_size, start
        is_distributed = dist.is_available() and dist.is_initialized()
        self.rank = (dist.get_rank() if is_distributed else 0) if rank is None else rank
        self.world_size = (dist.get_world_size() if is_distributed else 1) if world_size is None else world_size
        if not 0 <= self.rank < self.world_size or batch_size < 1:
            raise ConfigError(
                f"rank {self.rank} of {self.world_size} with batch_size {batch_size}: there is no such rank"
            )
        if not callable(start):
            self._check_end(start)

    def __len__(self) -> int:
        """Number of indices of this rank over the whole dataset; trainers count the steps of an epoch by it."""
        return sum(len(batch) for batch in self._batches(0))

    def __iter__(self) -> Iterator[int]:
        start = self.start() if callable(self.start) else self.start
        self._check_end(start)
        worker = get_worker_info()
        for number, batch in enumerate(self._batches(start)):
            if worker is None or number % worker.num_workers == worker.id:
                yield from batch

    def _batches(self, start: int) -> Iterator[range]:
        block = self.batch_size * self.world_size
        for first in range(start, self.num_items, block):
            count = min(block, self.num_items - first)
            before, after = (
                first + (min(rank * self.batch_size, count) if count == block else rank * count // self.world_size)
                for rank in (self.rank, self.rank + 1)
            )
            yield range(before, after)

    def _check_end(self, start: int) -> None:
        left = max(self.num_items - start, 0) % (self.batch_size * self.world_size)
        if 0 < left < self.world_size:
            raise ConfigError(
                f"{self.num_items} items from {start} on leave {left} for the last batch, too few for "
                f"{self.world_size} ranks: leave them out (num_items={self.num_items - left}), or use another "
                "batch_size"
            )
