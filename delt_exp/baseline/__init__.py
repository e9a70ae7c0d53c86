"""What a run is compared with: functions that return which documents are trained instead, and in which order.

A baseline gets the candidates and how many of them the run has kept, and returns as many rows in training order; it is
trained with the run's model, budget and seed, without mixture and weights. None, from `no_baseline` alone, trains
nothing.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from delt_exp.rows.candidates import Candidates

Baseline = Callable[[Candidates, int], NDArray[np.intp] | None]
