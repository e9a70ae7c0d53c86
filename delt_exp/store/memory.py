"""How much memory a block of code takes at its peak."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar


class PeakMemory:
    """Largest resident memory of this process inside `measure()`, in bytes; CUDA memory beside it. Blocks may nest."""

    _open: ClassVar[list["PeakMemory"]] = []

    def __init__(self) -> None:
        self.resident_bytes = self.cuda_bytes = 0

    @contextmanager
    def measure(self) -> Iterator["PeakMemory"]:
        _note_peak(self._open)
        self._open.append(self)
        _forget_peak()
        try:
            yield self
        finally:
            _note_peak(self._open)
            self._open.remove(self)


def _note_peak(blocks: list[PeakMemory]) -> None:
    """Tell all open blocks the high-water mark since it was last forgotten."""
    torch = sys.modules.get("torch")
    cuda = int(torch.cuda.max_memory_allocated()) if torch is not None and torch.cuda.is_available() else 0
    resident = _resident_peak()
    for block in blocks:
        block.resident_bytes, block.cuda_bytes = max(block.resident_bytes, resident), max(block.cuda_bytes, cuda)


def _forget_peak() -> None:
    """Start a new high-water mark; Linux only, elsewhere peaks count from the start of the process."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def _resident_peak() -> int:
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
