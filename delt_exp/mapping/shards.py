"""Shards of one piece of work in a folder: each is computed once, by whichever process takes it first.

A shard is a Parquet file that is complete or absent, with checksums of its pages. A process takes a shard by a file
lock, which the system frees when the process dies, so that workers may die or join at any time and need not know of
each other. N items, K numbers of each, S shards.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from delt_exp.errors import StoreError
from delt_exp.files import read_json, write_json, written_aside
from delt_exp.progress import say

SHARD_SIZE = 1 << 20  # tokens: a second of a GPU, a minute of a CPU, which is what a kill costs
MOST_SHARDS = 1 << 12  # about so many at most, because files are a burden: a corpus that needs more gets larger shards
SHARD_ITEMS = 1 << 16  # at most so many, however small they are
SOURCE = "source.json"
RETRY_SECONDS = 0.2  # between two looks at a shard that another process holds


def cut(sizes: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Return [S+1] where shards of about SHARD_SIZE begin and end; an item may reach beyond the end of its shard.

    sizes: [N] tokens of the items. The cut depends on nothing else, so that it is the same for any number of workers.
    """
    weights = np.maximum(sizes, SHARD_SIZE // SHARD_ITEMS).astype(np.int64)
    size = max(SHARD_SIZE, int(weights.sum()) // MOST_SHARDS)
    number = (np.cumsum(weights) - weights) // size
    inner = np.flatnonzero(np.diff(number)) + 1
    return np.concatenate([[0], inner, [len(sizes)]]) if len(sizes) else np.zeros(1, np.int64)


@dataclass(frozen=True)
class Shards:
    """The files of a folder that all workers see. bounds: [S+1] as `cut` returns them; width: K."""

    folder: Path
    bounds: NDArray[np.int64]
    width: int

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def path(self, shard: int) -> Path:
        """Return the file of a shard."""
        return self.folder / f"shard-{shard:05d}.parquet"

    def items(self, shard: int) -> slice:
        """Return which items a shard holds."""
        return slice(int(self.bounds[shard]), int(self.bounds[shard + 1]))

    def num_items(self, chosen: Sequence[int]) -> int:
        """Return how many items these shards hold."""
        return int(np.diff(self.bounds)[list(chosen)].sum())

    def missing(self) -> list[int]:
        """Return the shards that have no file yet."""
        names = {path.name for path in self.folder.glob("shard-*.parquet")}
        return [shard for shard in range(len(self)) if self.path(shard).name not in names]

    def open(self, source: str) -> None:
        """Make the folder that of `source`, forget failures and remove damaged shards, which are named.

        Raises StoreError when the folder holds shards of another source.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        told, path = {"source": source, "shards": len(self)}, self.folder / SOURCE
        if path.exists() and read_json(path) != told:
            raise StoreError(f"{self.folder} holds shards of other documents or another model; delete it")
        write_json(path, told)
        for failure in self.folder.glob("failed-*.json"):
            failure.unlink()
        for shard in sorted(set(range(len(self))) - set(self.missing())):
            try:
                self.read(shard)
            except StoreError as error:
                say(f"{error}; computing it again")
                self.path(shard).unlink()

    def write(self, shard: int, ids: NDArray[np.uint64], values_NK: NDArray[np.floating[Any]]) -> None:
        """Write a shard: column `id`, and `value`, a list of K numbers unless K is 1."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        flat = pa.array(np.ascontiguousarray(values_NK).ravel())
        column = flat if self.width == 1 else pa.FixedSizeListArray.from_arrays(flat, self.width)
        with written_aside(self.path(shard)) as aside:
            table = pa.table({"id": np.ascontiguousarray(ids), "value": column})
            pq.write_table(table, aside, compression="NONE", use_dictionary=False, write_page_checksum=True)

    def read(self, shard: int) -> NDArray[np.floating[Any]]:
        """Return the numbers of a shard [N, K]; raises StoreError when its file is damaged."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        items, path = self.items(shard), self.path(shard)
        try:
            # Not memory-mapped: a file that is damaged later must not change what was read.
            file = pq.ParquetFile(path, page_checksum_verification=True)
            column = file.read(["value"]).column("value").combine_chunks()
        except (pa.ArrowException, OSError) as error:
            raise StoreError(f"{path} is damaged ({str(error).splitlines()[0]})") from error
        flat = column if self.width == 1 else column.flatten()
        if len(flat) != (items.stop - items.start) * self.width:
            raise StoreError(f"{path} is damaged (it has {len(column)} rows instead of {items.stop - items.start})")
        values: NDArray[np.floating[Any]] = flat.to_numpy(zero_copy_only=False).reshape(-1, self.width)
        return values

    def claims(self) -> Iterator[int]:
        """Yield shards that this process is to compute, until every shard is written or has failed.

        Shards that other workers hold are waited for: when their worker dies, they are taken over.
        """
        todo, is_patient = self.missing(), False
        while todo:
            left = []
            for shard in todo:
                with self._held(shard, RETRY_SECONDS if is_patient else 0) as is_held:
                    if self.path(shard).exists() or self._failure(shard).exists():
                        continue
                    if is_held:
                        yield shard
                    else:
                        left.append(shard)
            todo, is_patient = left, True

    @contextmanager
    def _held(self, shard: int, seconds: float) -> Iterator[bool]:
        lock = FileLock(self.folder / f"lock-{shard:05d}")
        try:
            lock.acquire(timeout=seconds, poll_interval=RETRY_SECONDS / 2)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def fail(self, shard: int, place: str, error: BaseException) -> None:
        """Note that a shard cannot be computed: other workers leave it alone, the caller reports it."""
        message = str(error) or "no message"
        write_json(self._failure(shard), {"place": place, "error": f"{type(error).__name__}: {message}"})

    def failures(self) -> list[str]:
        """Return a sentence for every shard that failed."""
        files = sorted(self.folder.glob("failed-*.json"))
        told = [(int(file.stem.removeprefix("failed-")), read_json(file)) for file in files]
        return [f"shard {shard} of {len(self)}, {failure['place']}: {failure['error']}" for shard, failure in told]

    def _failure(self, shard: int) -> Path:
        return self.folder / f"failed-{shard:05d}.json"

    def close(self) -> None:
        """Remove the lock files."""
        for lock in self.folder.glob("lock-*"):
            lock.unlink(missing_ok=True)
