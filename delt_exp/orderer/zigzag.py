"""Pass over the score range up and down in turn, without a jump between passes (arXiv:2605.30334)."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, checked
from delt_exp.orderer.sorting import sorting
from delt_exp.rows.candidates import Candidates


@checked
def zigzag(candidates: Candidates, *, num_layers: Count, ascending: bool) -> NDArray[np.intp]:
    """Return the folding of the sorted rows with every second layer (the 2nd, 4th, ...) reversed."""
    return zigzag_fold(sorting(candidates, ascending=ascending), num_layers)


def zigzag_fold(rows: NDArray[np.intp], num_layers: int) -> NDArray[np.intp]:
    """Return the layers rows[i::num_layers] one after another, those of odd i reversed; any length."""
    layers = [rows[layer::num_layers][:: 1 - 2 * (layer % 2)] for layer in range(min(num_layers, len(rows)))]
    return np.concatenate([rows[:0], *layers])
