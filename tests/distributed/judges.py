"""Cheap judges without a model."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from delt_exp.corpus.tokens import IGNORED
from delt_exp.corpus.windows import WindowBatch, Windowing
from delt_exp.mapping.judge import TextBatch


@dataclass(frozen=True)
class Counting:
    """Sum of ids, of labels and of squared distances to the next token, positions; slow where asked to.

    bad: a token id that it fails on. log: a folder that gets a file for each process, with a line for each batch.
    """

    width: ClassVar[int] = 4
    reads: str = "text"
    context_tokens: int = 8
    dtype: str = "float64"
    seconds: float = 0.0
    bad: int | None = None
    log: Path | None = None

    @property
    def windowing(self) -> Windowing:
        return Windowing(self.reads, self.context_tokens)

    def open(self, device: str) -> Callable[[WindowBatch], Any]:
        if self.log is not None:
            (self.log / f"started-{os.getpid()}").touch()

        def judgement(batch: WindowBatch) -> Any:
            is_read = np.arange(batch.ids_WT.shape[1]) < batch.lengths_W[:, None]
            has_label = batch.labels_WT != IGNORED
            if self.bad is not None and (batch.ids_WT[is_read] == self.bad).any():
                raise ValueError("an exclamation mark")
            time.sleep(self.seconds)
            if self.log is not None:
                with (self.log / str(os.getpid())).open("a") as file:
                    file.write(f"{len(batch)}\n")
            steps = np.where(has_label, batch.labels_WT - batch.ids_WT, 0)
            columns = (np.where(is_read, batch.ids_WT, 0), np.where(has_label, batch.labels_WT, 0), steps**2, is_read)
            return np.stack([column.sum(1) for column in columns], 1).astype(np.float64)

        return judgement


@dataclass(frozen=True)
class Broken(Counting):
    """Cannot be opened."""

    def open(self, device: str) -> Callable[[WindowBatch], Any]:
        raise OSError("no such model")


@dataclass(frozen=True)
class Narrow(Counting):
    """Says that it has fewer numbers than it has."""

    width: ClassVar[int] = 3
    context_tokens: int = 1000


@dataclass(frozen=True)
class Lengths:
    """Characters and id of each document."""

    width: ClassVar[int] = 2
    dtype: ClassVar[str] = "float64"
    context_tokens: int = 8

    def open(self, device: str) -> Callable[[TextBatch], Any]:
        return lambda batch: np.array(
            [[len(text), int(i) >> 32] for text, i in zip(batch.texts, batch.ids, strict=True)]
        )
