"""What an author of a judgement writes: `open`, which loads a model and returns a function of one batch.

W windows or D documents of a batch, K numbers of a document.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.windows import WindowBatch, Windowing

ALL_TOKENS = 2**31 - 1  # context_tokens of a judge that reads documents whole
BRIEF = 16  # context_tokens of one that takes whole documents so fast that many belong in one batch of NumPy

Numbers = NDArray[Any]
"""Floating-point numbers, or texts where the `dtype` of a judge is `object`."""


class Judge(Protocol):
    """What a model says of the windows of documents; a frozen dataclass of plain values and paths, so that it travels.

    The numbers of a document are the sums over its windows, added up in float64 and kept as `dtype`.
    """

    @property
    def width(self) -> int:
        """How many numbers a document gets."""

    @property
    def dtype(self) -> str:
        """`float32` or `float64`."""

    @property
    def windowing(self) -> Windowing:
        """Which positions of a document are read, in which windows."""

    def open(self, device: str) -> Callable[[WindowBatch], Numbers]:
        """Load what is needed, once, to `device`; return the function from a batch to [W, K], or [W] where K is 1."""


@dataclass(frozen=True, eq=False)
class TextBatch:
    """Documents of one pass: texts [D], their ids [D] and where they stand in the rows of the map [D]."""

    texts: list[str]
    ids: NDArray[np.uint64]
    items: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.items)

    def only(self, document: int) -> "TextBatch":
        """Return one document alone."""
        place = slice(document, document + 1)
        return TextBatch(self.texts[place], self.ids[place], self.items[place])


class TextJudge(Protocol):
    """What a model with a tokenizer of its own says of documents; a frozen dataclass as `Judge` is.

    context_tokens: how many tokens of a document are read at most; in a batch a document counts as so many, or as its
    bytes where they are fewer.
    """

    @property
    def width(self) -> int:
        """How many numbers a document gets."""

    @property
    def dtype(self) -> str:
        """`float32` or `float64`; `object` where it says texts."""

    @property
    def context_tokens(self) -> int: ...

    def open(self, device: str) -> Callable[[TextBatch], Numbers]:
        """Load what is needed, once, to `device`; return the function from a batch to [D, K], or [D] where K is 1."""
