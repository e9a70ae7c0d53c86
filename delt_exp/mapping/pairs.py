"""Preferences as items of a map: both sides of a document are read in one batch. K numbers of a pair."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.pairs import PairBatch, pair_arrays, sides
from delt_exp.corpus.tokens import Tokens
from delt_exp.mapping.items import Advance, TokenItems, document_name, in_batches, judged
from delt_exp.mapping.judge import Numbers
from delt_exp.mapping.map_documents import map_items
from delt_exp.resources import Resources


class PairJudge(Protocol):
    """What a model says of pairs; a frozen dataclass of plain values and paths, so that it travels."""

    @property
    def width(self) -> int:
        """How many numbers a pair gets."""

    @property
    def dtype(self) -> str:
        """`float32` or `float64`."""

    @property
    def context_tokens(self) -> int:
        """How many positions of a side are read at most."""

    def open(self, device: str) -> Callable[[PairBatch], Numbers]:
        """Load what is needed, once, to `device`; return the function from a batch of D pairs to [D, K]."""


@dataclass(frozen=True, eq=False)
class PairItems(TokenItems):
    """Preferences, side by side."""

    UNIT: ClassVar[str] = "pairs"
    judge: PairJudge

    def sizes(self) -> NDArray[np.int64]:
        lengths = [side.lengths[self.rows] + 1 for side in sides(self.tokens)]
        return 2 * np.minimum(np.maximum(*lengths), self.judge.context_tokens)

    def read(
        self, judgement: Callable[[PairBatch], Numbers], items: slice, batch_tokens: int, advance: Advance
    ) -> Numbers:
        rows = self.rows[items]
        sizes, longest = replace(self, rows=rows).sizes(), self.judge.context_tokens

        def place(batch: PairBatch) -> str:
            return document_name(int(rows[batch.items[0]]), self.tokens.ids)

        def asked(chosen: NDArray[np.intp]) -> Numbers:
            batch = PairBatch(*pair_arrays(self.tokens, rows[chosen], longest), chosen)
            return judged(judgement, batch, place, self.judge.width)

        return in_batches(asked, sizes, 2 * longest, batch_tokens, self.judge, advance)


def map_pairs(
    resources: Resources, tokens: Tokens, rows: NDArray[np.intp], judge: PairJudge, folder: Path, name: str
) -> NDArray[Any]:
    """Return [N, K]: what `judge` says of the preferences `rows` [N]; as `map_documents` in everything else."""
    return map_items(resources, PairItems(tokens, np.asarray(rows), judge), folder, name, None)
