"""The default: nothing beyond metrics.csv, which every run folder has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from delt_exp.config.run_name import RunInfo


@dataclass(frozen=True)
class CsvLogger:
    """Sends nothing anywhere."""

    def start(self, run: RunInfo) -> None: ...

    def metrics(self, row: Mapping[str, float]) -> None: ...

    def finish(self, record: Mapping[str, Any]) -> None: ...

    def abandon(self) -> None: ...
