"""The documents of a corpus as selectors and orderers see them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delt_exp.errors import DataError
from delt_exp.rows.ranking import check_table


@dataclass(frozen=True, eq=False)
class Candidates:
    """N documents as columns; row i of each column is the same document. Checks itself when made.

    ids: [N] content hashes. goodness: [N] scores turned so that higher is better. groups: [N] the source of each
    document as an index into `group_names`. num_tokens: [N], None where documents are not tokenised. Raises DataError
    for columns that do not fit, or goodness that is not finite.
    """

    ids: NDArray[np.uint64]
    goodness: NDArray[np.float32]
    groups: NDArray[np.integer]
    group_names: Sequence[str]
    num_tokens: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        check_table(self.ids, self.goodness)
        if self.groups.shape != self.ids.shape or self.groups.dtype.kind not in "iu":
            raise DataError(
                f"groups {self.groups.dtype}{list(self.groups.shape)} do not fit {len(self.ids)} documents; pass one "
                "whole number per document"
            )
        if self.num_tokens is not None and self.num_tokens.shape != self.ids.shape:
            raise DataError(
                f"num_tokens has {len(self.num_tokens)} entries for {len(self.ids)} documents; pass one per document"
            )
        if len(self) and not 0 <= self.groups.min() <= self.groups.max() < len(self.group_names):
            raise DataError(
                f"groups lie in {self.groups.min()} .. {self.groups.max()}, but {len(self.group_names)} groups have a "
                "name; pass indices of group_names"
            )

    @classmethod
    def ungrouped(cls, ids: NDArray[np.uint64], goodness: NDArray[np.float32]) -> "Candidates":
        """Return documents of one source without a name."""
        return cls(ids, goodness, np.zeros(len(ids), np.uint8), [""])

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: NDArray[np.intp]) -> "Candidates":
        """Return the documents `rows`, in their order."""
        num_tokens = None if self.num_tokens is None else self.num_tokens[rows]
        return Candidates(self.ids[rows], self.goodness[rows], self.groups[rows], self.group_names, num_tokens)

    def counted_tokens(self) -> NDArray[np.int64]:
        """Return `num_tokens`; raises DataError where nobody counted them."""
        if self.num_tokens is None:
            raise DataError("a selection by tokens needs the tokens of each document; pass num_tokens")
        return self.num_tokens
