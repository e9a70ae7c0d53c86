"""What an audit holds: the sequences that entered the network, of all ranks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delt_exp.certificate.audit import ATTEMPTS, Attempt, read_attempts, read_rows
from delt_exp.errors import DataError


@dataclass(frozen=True, eq=False)
class Read:
    """What entered the network: [R] sequences by step, forward pass, rank and place.

    ranks: [R] who read each. starts: the steps at which training began or was resumed. ended: the step after the last,
    None where the audit was never closed.
    """

    rows: NDArray[np.void]
    ranks: NDArray[np.int64]
    starts: list[int]
    ended: int | None

    @property
    def steps(self) -> NDArray[np.int64]:
        """[R] the optimizer step of each sequence."""
        return np.asarray(self.rows["step"])


def read_audit(folder: Path) -> Read:
    """Return what all ranks recorded; raises DataError where one is missing, or no step was recorded."""
    attempts = read_attempts(folder)
    if not attempts:
        raise DataError(f"{folder} is not an audit: it has no {ATTEMPTS}, which OrderAudit writes when training begins")
    largest = max(attempt.world_size for attempt in attempts)
    paths = [folder / f"rank-{rank:05d}.rows" for rank in range(largest)]
    missing = [path.name for path in paths if not path.exists()]
    if missing:
        raise DataError(f"{folder} lacks {', '.join(missing)}: collect the files of all {largest} ranks in it")
    parts = [read_rows(path) for path in paths]
    rows, ranks = np.concatenate(parts), np.repeat(np.arange(largest), [len(part) for part in parts])
    starts = [attempt.started_at for attempt in attempts]
    # A rank that took no part after a restart may have recorded steps that the others trained again.
    sizes = np.array([attempt.world_size for attempt in attempts])
    is_valid = ranks < sizes[np.maximum(np.searchsorted(starts, rows["step"], side="right") - 1, 0)]
    rows, ranks = rows[is_valid], ranks[is_valid]
    _check_steps(folder, attempts[-1], rows["step"])
    order = np.lexsort([rows["row"], ranks, rows["micro"], rows["step"]])
    return Read(rows[order], ranks[order], starts, attempts[-1].ended_at)


def _check_steps(folder: Path, last: Attempt, steps: NDArray[np.int64]) -> None:
    """Raise DataError where nothing was recorded, or nothing that tells one step from the next."""
    is_open, late = last.ended_at is None, int((steps >= last.started_at).sum())
    if not len(steps):
        cure = "watch the module that is given token ids"
        cure = f"it was never closed: call audit.close() at the end of training, and {cure}" if is_open else cure
        raise DataError(f"{folder} is empty: no step was recorded; {cure}")
    if late and steps.max() == last.started_at and last.ended_at in (None, last.started_at):
        cure = "audit.step() after each optimizer.step()" + (", and audit.close() at the end" if is_open else "")
        raise DataError(
            f"{folder} does not tell the order of {late:,} sequences, so the order is not verified: no audit.step() "
            f"was recorded after they were read; train again, and call {cure}"
        )
