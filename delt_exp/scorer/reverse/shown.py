"""The phases of a sweep on the terminal."""

from typing import Any

from delt_exp.progress import Task, track


class Shown:
    """Shows the phases of a sweep one after the other; work: what it does, before the name of the phase."""

    def __init__(self, is_shown: bool, work: str = "annotating") -> None:
        self.is_shown, self._work = is_shown, work
        self._phase, self._done = "", 0
        self._bar: Any = None
        self._task: Task | None = None

    def __enter__(self) -> "Shown":
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)

    def __call__(self, phase: str, done: int, total: int) -> None:
        if not self.is_shown:
            return
        if phase != self._phase:
            self.__exit__()
            unit = "documents" if phase == "documents" else "updates"
            self._bar = track(f"{self._work}, {phase}", total, unit)
            self._task, self._phase, self._done = self._bar.__enter__(), phase, 0
        assert self._task is not None
        self._task.advance(done - self._done)
        self._done = done
