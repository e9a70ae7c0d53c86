"""How long a stage was worked on, over all attempts at it and without the time spent in other stages."""

import time
from pathlib import Path
from typing import ClassVar

from delt_exp.errors import DataError
from delt_exp.files import read_json, write_json

FILE = "attempt.json"


class Attempt:
    """One attempt at the stage in `folder`, which may hold what killed attempts left.

    A killed attempt counts up to the last file that it wrote, because what it did after that is done again.
    elsewhere_seconds: time of this attempt that went to other stages and does not count.
    """

    _open: ClassVar[list["Attempt"]] = []

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_first = not (folder / FILE).exists()
        self._earlier_seconds = _earlier_seconds(folder)
        self.elsewhere_seconds, self._started = 0.0, time.monotonic()
        self._elsewhere_cpu_seconds, self._cpu_started = 0.0, time.process_time()
        self._in_other_processes = False
        self._open.append(self)
        self._note()

    @property
    def stage(self) -> str:
        """Name of the stage."""
        return self._folder.parent.name

    @property
    def cpu_seconds(self) -> float | None:
        """CPU time of this process so far, all threads together and without other stages.

        None where it is not all: after a killed attempt, whose time is not known, or with work in other processes.
        """
        if not self._is_first or self._in_other_processes:
            return None
        return time.process_time() - self._cpu_started - self._elsewhere_cpu_seconds

    def leave_out(self, seconds: float, cpu_seconds: float) -> None:
        """Do not count the last `seconds`, and CPU seconds, which went to another stage."""
        self.elsewhere_seconds += seconds
        self._elsewhere_cpu_seconds += cpu_seconds
        self._note()

    @classmethod
    def note_other_processes(cls) -> None:
        """Note that other processes do part of the work at hand."""
        for attempt in cls._open:
            attempt._in_other_processes = True

    def end(self) -> None:
        """Count no more CPU time; call once, whether the work succeeded or not."""
        self._open.remove(self)

    @property
    def seconds(self) -> float:
        """Seconds of all attempts so far."""
        return self._earlier_seconds + self._counted()

    def _note(self) -> None:
        since = time.time() - self._counted()
        write_json(self._folder / FILE, {"earlier_seconds": self._earlier_seconds, "since": since})

    def _counted(self) -> float:
        return time.monotonic() - self._started - self.elsewhere_seconds


def _earlier_seconds(folder: Path) -> float:
    try:
        earlier = read_json(folder / FILE)
    except (FileNotFoundError, DataError):  # none, or one that a machine lost power over
        return 0.0
    written = (path.stat().st_mtime for path in folder.rglob("*") if path.is_file() and path.name != FILE)
    return float(earlier["earlier_seconds"] + max(0.0, max(written, default=0.0) - earlier["since"]))
