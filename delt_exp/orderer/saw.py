"""Sorted training that goes up and down around the section boundaries (arXiv:2605.30334)."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.orderer.sorting import sorting
from delt_exp.orderer.stair import check_windows, replace_windows
from delt_exp.orderer.zigzag import zigzag_fold
from delt_exp.rows.candidates import Candidates


def saw(
    candidates: Candidates,
    *,
    num_sections: int,
    window_ratio: float,
    num_layers: int,
    ascending: bool,
) -> NDArray[np.intp]:
    """Return the sorted rows with a window around each section boundary in zigzag; the windows are those of stair."""
    check_windows(num_sections, window_ratio, num_layers)
    rows = sorting(candidates, ascending=ascending)
    return replace_windows(rows, num_sections, window_ratio, lambda window: zigzag_fold(window, num_layers))
