"""Sorted training that goes up and down around the section boundaries (arXiv:2605.30334)."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, Share, checked
from delt_exp.orderer.sorting import sorting
from delt_exp.orderer.stair import replace_windows
from delt_exp.orderer.zigzag import zigzag_fold
from delt_exp.rows.candidates import Candidates


@checked
def saw(
    candidates: Candidates,
    *,
    num_sections: Count,
    window_ratio: Share,
    num_layers: Count,
    ascending: bool,
) -> NDArray[np.intp]:
    """Return the sorted rows with a window around each section boundary in zigzag; the windows are those of stair."""
    rows = sorting(candidates, ascending=ascending)
    return replace_windows(rows, num_sections, window_ratio, lambda window: zigzag_fold(window, num_layers))
