"""Pass over the score range several times, each time from end to end (DELT, arXiv:2506.21545)."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, checked
from delt_exp.orderer.sorting import sorting
from delt_exp.rows.candidates import Candidates


@checked
def folding(candidates: Candidates, *, num_layers: Count, ascending: bool) -> NDArray[np.intp]:
    """Return the sorted rows s as s[0::L], s[1::L], ..., s[L-1::L] with L = `num_layers`.

    The paper writes residues of 1-based ranks and starts with residue 0; its code starts at the first rank, as here.
    L = 1 and L >= N give plain sorting.
    """
    return fold(sorting(candidates, ascending=ascending), num_layers)


def fold(rows: NDArray[np.intp], num_layers: int) -> NDArray[np.intp]:
    """Return rows[0::num_layers], rows[1::num_layers], ... one after another; any length."""
    layers = [rows[layer::num_layers] for layer in range(min(num_layers, len(rows)))]
    return np.concatenate([rows[:0], *layers])
