"""One display for everything that takes time: phase, rate and time left; plain lines when nobody is watching."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

PLAIN_LINE_SECONDS = 10.0

console = Console(stderr=True, highlight=False, soft_wrap=True)


def say(message: str) -> None:
    """Print one line for the user; safe while a bar is shown."""
    for heard in _heard:
        if message in heard:
            return
        heard.add(message)
    console.print(message, markup=False)


@contextmanager
def once(heard: set[str]) -> Iterator[None]:
    """Inside, `say` prints no line that is in `heard`, and adds those that it prints."""
    _heard.append(heard)
    try:
        yield
    finally:
        _heard.pop()


_heard: list[set[str]] = []


class Task:
    """One running piece of work; `advance(n)` tells how many units are done."""

    def __init__(self, name: str, total: int | None, unit: str) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.done = self.shown_done = 0
        self.started = self.shown = time.monotonic()

    def _count(self, count: int) -> None:
        self.done += count
        for observer in observers:
            observer(self)

    def advance(self, count: int = 1, note: str = "") -> None:
        self._count(count)
        if time.monotonic() - self.shown >= PLAIN_LINE_SECONDS:
            say(self.line(note))
            self.shown = time.monotonic()

    @property
    def rate(self) -> float:
        """Units a second, since it began."""
        return self.done / max(time.monotonic() - self.started, 1e-9)

    def seconds_left(self) -> float | None:
        """Return the time that it will still take at this rate; None without a total, or before anything is done."""
        return max(self.total - self.done, 0) / self.rate if self.total and self.rate > 0 else None

    def line(self, note: str = "") -> str:
        """Return `name  done/total unit  rate  time left`."""
        rate, left = self.rate, self.seconds_left()
        parts = [f"{self.name}: {self.done:,}" + (f"/{self.total:,}" if self.total else "") + f" {self.unit}"]
        parts.append(f"{rate:,.0f} {self.unit}/s" if rate >= 10 else f"{rate:.2f} {self.unit}/s")
        if left is not None:
            parts.append(f"{left:.0f} s left")
        return "  ".join(filter(None, [*parts, note, *(tell() for tell in outlook)]))


observers: list[Callable[[Task], None]] = []
"""Told of every piece of work each time that it advances, which may be often."""

outlook: list[Callable[[], str]] = []
"""Tells of the whole run what is added to every line; nothing where it does not know."""


class _BarTask(Task):
    def __init__(self, name: str, total: int | None, unit: str, bars: Progress) -> None:
        super().__init__(name, total, unit)
        self._bars = bars
        self._id: TaskID = bars.add_task(name, total=total, detail="")

    def advance(self, count: int = 1, note: str = "") -> None:
        self._count(count)
        told = filter(None, [f"{self.rate:,.1f} {self.unit}/s", note, *(tell() for tell in outlook)])
        self._bars.update(self._id, advance=count, detail="  ".join(told))


@contextmanager
def track(name: str, total: int | None, unit: str) -> Iterator[Task]:
    """Show the progress of one piece of work while the block runs."""
    if not (console.is_terminal and sys.stderr.isatty()):
        yield Task(name, total, unit)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(
        *columns, TextColumn("{task.fields[detail]}"), TimeRemainingColumn(), console=console, transient=True
    ) as bars:
        yield _BarTask(name, total, unit, bars)
