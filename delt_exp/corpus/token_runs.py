"""Which tokens of a tokens folder are read but not predicted, as runs of neighbours.

A token's position counts the tokens of all documents before it, whatever the shards. R runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TokenRuns:
    """Runs of tokens in ascending order. starts: [R] first positions. totals: [R+1] tokens in the runs before each."""

    starts: Ints
    totals: Ints

    @classmethod
    def of(cls, parts: Sequence[Ints]) -> "TokenRuns":
        """Return the runs [., 2] (first position, length), given in ascending order."""
        runs = np.concatenate([np.empty((0, 2), np.int64), *parts])
        return cls(runs[:, 0].copy(), np.concatenate([[0], np.cumsum(runs[:, 1])]).astype(np.int64))

    @classmethod
    def load(cls, folder: Path, name: str) -> "TokenRuns":
        """Read what `save` wrote, memory-mapped."""
        return cls(*(np.load(folder / f"{name}_{part}.npy", mmap_mode="r") for part in ("starts", "totals")))

    def save(self, folder: Path, name: str) -> None:
        """Write two .npy files."""
        np.save(folder / f"{name}_starts.npy", self.starts)
        np.save(folder / f"{name}_totals.npy", self.totals)

    def before(self, positions: Ints) -> Ints:
        """Return how many tokens before each position belong to a run."""
        if not len(self.starts):
            return np.zeros_like(positions)
        run = np.maximum(np.searchsorted(self.starts, positions, side="right") - 1, 0)
        inside = np.clip(positions - self.starts[run], 0, self.totals[run + 1] - self.totals[run])
        return np.asarray(self.totals[run] + inside)

    def last_end(self, positions: Ints) -> Ints:
        """Return where the last run that begins before each position ends; 0 where there is none."""
        run = np.searchsorted(self.starts, positions) - 1
        ends = np.append(self.starts + np.diff(self.totals), 0)  # the last one is for -1
        return ends[run]


def false_runs(flags: NDArray[np.bool_]) -> Ints:
    """Return the runs [., 2] (first index, length) of what is False."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], flags, [True]])))
    return np.stack([edges[::2], edges[1::2] - edges[::2]], axis=1).astype(np.int64)
