"""What a logger promises."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class RunInfo:
    """Who is running: `name` is also the folder's name, `id` a hash of the resolved configuration.

    choices: option chosen in each config group. group: study or sweep the run belongs to, None for a single run.
    """

    name: str
    id: str
    folder: Path
    config: Mapping[str, Any]
    choices: Mapping[str, str]
    group: str | None


class RunLogger(Protocol):
    """Receives one run; all calls come from one process, in this order."""

    def start(self, run: RunInfo) -> None:
        """Open the run; must not wait for a network or an account."""

    def metrics(self, row: Mapping[str, float]) -> None:
        """Take one line of training metrics (`step`, `tokens`, `train/...`); every line of the run comes once."""

    def finish(self, record: Mapping[str, Any]) -> None:
        """Take the finished record; the run folder is complete. Closes the run."""

    def abandon(self) -> None:
        """Close the run after an error; may come before `start`, when another logger failed to start."""
