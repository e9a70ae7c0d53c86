"""Writes a run as TensorBoard events to `<run>/tensorboard`."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from delt_exp.errors import DependencyError
from delt_exp.logger.base import RunInfo
from delt_exp.logger.contents import HISTOGRAM_BINS, eval_scalars, pictures, read_scores


@dataclass
class TensorBoardLogger:
    """Curves and evaluation against trained tokens, score histogram, pictures, configuration.

    Raises DependencyError in `start` where the package tensorboard is missing.
    """

    _run: RunInfo = field(init=False, repr=False)
    _writer: Any = field(init=False, repr=False, default=None)
    _tokens: int = field(init=False, repr=False, default=0)

    def start(self, run: RunInfo) -> None:
        """Open the run; events of an earlier attempt are removed, since every line comes again."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise DependencyError(
                "logger=tensorboard needs the package tensorboard, which is not installed; run: "
                'pip install "delt-exp[tensorboard]"'
            ) from None
        folder = run.folder / "tensorboard"
        shutil.rmtree(folder, ignore_errors=True)
        self._run, self._tokens, self._writer = run, 0, SummaryWriter(str(folder))
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

        for name, value in eval_scalars(record).items():
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
