"""How much a selector keeps, in documents or in tokens: one rule for all that have a budget.

A budget of tokens is filled from the best document downwards and ends before the first one that does not fit. Going on
with shorter ones would fill it better, and would make every selection also a selection by length.
"""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import PositiveShare
from delt_exp.errors import ConfigError
from delt_exp.rows.candidates import Candidates
from delt_exp.rows.ranking import best_rows, floor_share

Unit = Literal["documents", "tokens"]


def sizes_of(candidates: Candidates, unit: Unit) -> NDArray[np.int64]:
    """Return [N] what each document takes of a budget: 1, or its tokens, prompt included."""
    return np.ones(len(candidates), np.int64) if unit == "documents" else candidates.counted_tokens()


def share_of(candidates: Candidates, ratio: PositiveShare, unit: Unit) -> int:
    """Return floor(ratio * size of all documents), at least 1; raises ConfigError for a ratio that gives 0."""
    size = int(sizes_of(candidates, unit).sum())
    budget = floor_share(ratio, size)
    if budget == 0:
        raise ConfigError(
            f"selector.ratio={ratio} keeps none of {size} {unit}; "
            f"raise selector.ratio or use a corpus of at least {math.ceil(1 / ratio)} {unit}"
        )
    return budget


def best_within(
    candidates: Candidates, keys: NDArray[np.floating], budget: int, unit: Unit, place: str = ""
) -> NDArray[np.intp]:
    """Return in row order the documents of the highest keys [N] that fill the budget; of equal keys the higher ids.

    Raises ConfigError where not even the first one fits; `place` says in the message whose budget it is.
    """
    if unit == "documents":
        return best_rows(candidates.ids, keys, budget)
    best_first = np.lexsort((candidates.ids, keys))[::-1]
    sums = np.cumsum(candidates.counted_tokens()[best_first])
    num_kept = int(np.searchsorted(sums, budget, side="right"))
    if num_kept == 0:
        raise ConfigError(
            f"the budget of {budget} tokens{place} keeps none of {len(candidates)} documents: the first one has "
            f"{sums[0]} tokens; raise the selector's budget or set selector.unit=documents"
        )
    return np.sort(best_first[:num_kept])
