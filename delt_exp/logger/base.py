"""What a logger promises."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from delt_exp.config.run_name import RunInfo
from delt_exp.report.findings import Findings


@dataclass(frozen=True)
class StudyInfo:
    """A study whose page and tables are in `folder`.

    id: the same when the study is repeated or extended. config: its node of the configuration. runs: the records of its
    finished runs.
    """

    name: str
    id: str
    folder: Path
    question: str
    config: Mapping[str, Any]
    findings: Findings
    runs: Sequence[Mapping[str, Any]]


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


@runtime_checkable
class StudyLogger(Protocol):
    """A logger that also receives studies; the folder of a study is complete without it."""

    def log_study(self, study: StudyInfo) -> None:
        """Take a study whose page is written; what was logged of it before is replaced."""
