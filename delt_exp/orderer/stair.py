"""Sorted training that folds around the section boundaries, so that a new level begins with review (arXiv:2605.30334).

The windows are shared with `saw`, which walks them in zigzag.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, Share, checked
from delt_exp.orderer.folding import fold
from delt_exp.orderer.sorting import sorting
from delt_exp.rows.candidates import Candidates


@checked
def stair(
    candidates: Candidates,
    *,
    num_sections: Count,
    window_ratio: Share,
    num_layers: Count,
    ascending: bool,
) -> NDArray[np.intp]:
    """Return the sorted rows with a window around each boundary of `num_sections` equal sections folded.

    The window reaches round(window_ratio * N) rows to both sides of the boundary, but not into the window before it.
    """
    rows = sorting(candidates, ascending=ascending)
    return replace_windows(rows, num_sections, window_ratio, lambda window: fold(window, num_layers))


def replace_windows(
    rows: NDArray[np.intp],
    num_sections: int,
    window_ratio: float,
    reorder: Callable[[NDArray[np.intp]], NDArray[np.intp]],
) -> NDArray[np.intp]:
    """Return `rows` with the window around each section boundary reordered.

    Boundaries lie at round(N * j / S), 0 < j < S; halves round to the even number, as in the released code.
    """
    result, reach, end = rows.copy(), round(window_ratio * len(rows)), 0
    for section in range(1, num_sections):
        boundary = round(len(rows) * section / num_sections)
        start, end = max(boundary - reach, end), min(boundary + reach, len(rows))
        result[start:end] = reorder(rows[start:end])
    return result
