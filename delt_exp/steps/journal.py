"""How far a run is, told by the run itself: `output_dir/running/NAME.json`, while it runs and after it was killed.

Beside it lies a file that the run locks as long as it lives: a killed run is told from one that takes long.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal, get_args

from delt_exp.config.run_name import RunInfo
from delt_exp.errors import DeltError
from delt_exp.files import write_json
from delt_exp.progress import Task, observers
from delt_exp.store.file_lock import check_locks, hold

Phase = Literal["read", "score", "select", "train", "evaluate", "baseline"]
Enter = Callable[[Phase], None]
Left = Callable[[], float | None]
PHASES: tuple[Phase, ...] = get_args(Phase)
FOLDER = "running"
SECONDS_BETWEEN_NOTES = 1.0


@contextmanager
def journal(output_dir: Path, info: RunInfo, phases: Sequence[Phase], left: Left = lambda: None) -> Iterator[Enter]:
    """Keep the journal of a run while the block runs, and give what is to be called when one of its phases begins.

    left: gives the seconds until the run ends, None where it does not know.
    The journal of a run that ends well is removed, and so is that of one that is interrupted, which may have left no
    folder; one that fails keeps its error until it is repeated.
    """
    folder = output_dir / FOLDER
    file, lock = folder / f"{info.name}.json", folder / f"{info.name}.lock"
    kept = _Journal(file, info, phases, left)
    held = _held(lock)
    observers.append(kept.saw)
    try:
        yield kept.enter
        file.unlink(missing_ok=True)
    except Exception as error:
        with suppress(OSError):  # a full disk, say, which is the error itself
            kept.fail(str(error) if isinstance(error, DeltError) else f"{type(error).__name__}: {error}")
        raise
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    finally:
        observers.remove(kept.saw)
        held.close()
        lock.unlink(missing_ok=True)
        with suppress(OSError):  # journals of other runs are in it
            folder.rmdir()


def _held(lock: Path) -> IO[bytes]:
    """Return the lock file of a run, held; raises StoreError where files cannot be locked."""
    while True:
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            check_locks(lock.parent)
            return hold(lock)
        except FileNotFoundError:  # another run was the last one in the folder, and has just removed it
            continue


class _Journal:
    def __init__(self, file: Path, info: RunInfo, phases: Sequence[Phase], left: Left) -> None:
        self._file, self._noted, self._left = file, 0.0, left
        self._content: dict[str, Any] = {
            "name": info.name,
            "title": info.title,
            "group": info.group,
            "choices": dict(info.choices),
            "folder": str(info.folder.absolute()),
            "started": time.time(),
            "phases": list(phases),
            "entered": {},
            "task": None,
            "error": None,
        }

    def enter(self, phase: Phase) -> None:
        """Note that a phase begins."""
        self._content["entered"][phase] = time.time()
        self._content["task"] = None
        self._note()

    def saw(self, task: Task) -> None:
        """Note how far a piece of work is, not more often than anybody looks."""
        if time.monotonic() - self._noted < SECONDS_BETWEEN_NOTES:
            return
        began = time.time() - (time.monotonic() - task.started)
        self._content["task"] = {
            "name": task.name, "done": task.done, "total": task.total, "unit": task.unit, "began": began,
        }  # fmt: skip
        self._note()

    def fail(self, error: str) -> None:
        """Keep why the run ended."""
        self._content["error"] = error
        self._note()

    def _note(self) -> None:
        self._content |= {"written": time.time(), "left": self._left()}
        write_json(self._file, self._content)
        self._noted = time.monotonic()
