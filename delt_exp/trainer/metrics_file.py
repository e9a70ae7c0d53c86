"""The training metrics on disk, written by one process and followed by another."""

import csv
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from delt_exp.files import written_aside

POLL_SECONDS = 0.5


class MetricsFile:
    """A CSV file with one line per logged step; what is read are complete lines only, even after a kill.

    Every line has the columns `FIELDS`, and further ones where the weighter reports numbers.
    """

    FIELDS = ("step", "tokens", "seconds", "train/loss", "train/lr", "train/grad_norm")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_bytes = 0
        self._fields: list[str] = []

    def new_rows(self) -> list[dict[str, float]]:
        """Return the complete lines that this object has not returned before."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self._read_bytes)
            whole = file.read().rpartition(b"\n")[0]
        self._read_bytes += len(whole) + 1 if whole else 0
        lines = list(csv.reader(whole.decode().splitlines()))
        if lines and not self._fields:
            self._fields = lines.pop(0)
        return [dict(zip(self._fields, map(float, line), strict=True)) for line in lines]

    def rows(self) -> list[dict[str, float]]:
        """Return every complete line."""
        return MetricsFile(self.path).new_rows()

    def append(self, row: Mapping[str, float]) -> None:
        """Add one line, and the header before the first."""
        new = not self.path.exists()
        with self.path.open("a", encoding="utf-8") as file:
            file.write((_header(row) if new else "") + _line(row))

    def keep_up_to(self, step: int) -> None:
        """Drop the lines after `step`, which a restart writes again."""
        kept = [row for row in self.rows() if row["step"] <= step]
        if not kept:
            self.path.unlink(missing_ok=True)
            return
        with written_aside(self.path) as aside:
            aside.write_text(_header(kept[0]) + "".join(map(_line, kept)), encoding="utf-8")


def _header(row: Mapping[str, float]) -> str:
    return ",".join(row) + "\n"


def _line(row: Mapping[str, float]) -> str:
    return ",".join(map(repr, row.values())) + "\n"


@contextmanager
def follow(path: Path, on_metrics: Callable[[Mapping[str, float]], None] | None) -> Iterator[None]:
    """Hand every line of a metrics file to `on_metrics`, from whichever process it comes, until the block ends."""
    if on_metrics is None:
        yield
        return
    file, done = MetricsFile(path), threading.Event()

    def poll() -> None:
        while not done.wait(POLL_SECONDS):
            for row in file.new_rows():
                on_metrics(row)

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        for row in file.new_rows():
            on_metrics(row)
