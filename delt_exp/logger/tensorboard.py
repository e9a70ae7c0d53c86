"""Writes runs and studies as TensorBoard events to `tensorboard` in their folders."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from delt_exp.config.run_name import RunInfo
from delt_exp.errors import DependencyError
from delt_exp.logger.base import StudyInfo
from delt_exp.logger.contents import HISTOGRAM_BINS, pictures, read_scores, scalars
from delt_exp.report.tables import as_markdown


@dataclass
class TensorBoardLogger:
    """Curves and evaluation against trained tokens, score histogram, pictures, configuration; tables of studies.

    Raises DependencyError in `start` and `log_study` where the package tensorboard is missing.
    """

    _run: Any = field(init=False, repr=False, default=None)
    _writer: Any = field(init=False, repr=False, default=None)
    _tokens: int = field(init=False, repr=False, default=0)

    def start(self, run: RunInfo) -> None:
        """Open the run; events of an earlier attempt are removed, since every line comes again."""
        self._run, self._tokens, self._writer = run, 0, _new_writer(run.folder)
        config = json.dumps({"choices": dict(run.choices), **run.config}, indent=2)
        self._writer.add_text("config", f"```json\n{config}\n```")

    def metrics(self, row: Mapping[str, float]) -> None:
        """Add the `train/...` values of one line at its number of trained tokens."""
        self._tokens = int(row["tokens"])
        for name, value in row.items():
            if name.startswith("train/"):
                self._writer.add_scalar(name, value, self._tokens)

    def finish(self, record: Mapping[str, Any]) -> None:
        """Add what is known at the end, at the last number of tokens, and close."""
        from PIL import Image

        for name, value in scalars(record).items():
            self._writer.add_scalar(name, value, self._tokens)
        self._writer.add_scalar("order_verified", float(record["order_verified"]), self._tokens)
        self._writer.add_histogram("score", read_scores(self._run.folder), self._tokens, bins=HISTOGRAM_BINS)
        for name, path in pictures(self._run.folder).items():
            with Image.open(path) as image:
                self._writer.add_image(name, np.asarray(image.convert("RGB")), self._tokens, dataformats="HWC")
        self.abandon()

    def abandon(self) -> None:
        """Close; what was written stays readable."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def log_study(self, study: StudyInfo) -> None:
        """Write question, answer and tables as text; events of an earlier time are removed."""
        writer = _new_writer(study.folder)
        writer.add_text("answer", f"**{study.question}**\n\n{study.findings.answer}")
        for table in study.findings.tables:
            text = f"**{table.title}**\n\n{as_markdown(table)}\n{table.note}"
            writer.add_text(f"tables/{table.name}", text)
        writer.close()


def _new_writer(folder: Path) -> Any:
    """Return a writer of events below `folder`, without those of an earlier time."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise DependencyError(
            "logger=tensorboard needs the package tensorboard, which is not installed; run: "
            'pip install "delt-exp[tensorboard]"'
        ) from None
    place = folder / "tensorboard"
    shutil.rmtree(place, ignore_errors=True)
    return SummaryWriter(str(place))
