"""How much of each source is trained on: functions of `Sources` that return shares of the predicted tokens.

Shares are of at least 0 and sum to 1; a source of share 0 is not trained on. A mixture raises ConfigError for shares
that cannot be reached. None, from `none` alone, leaves the order as it is.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from delt_exp.mixture.sources import Sources

Mixture = Callable[[Sources], NDArray[np.float64] | None]
