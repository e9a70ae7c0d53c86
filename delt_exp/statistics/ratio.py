"""The standard error of a ratio of sums."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def ratio_stderr(numerators: NDArray[Any], denominators: NDArray[Any]) -> float | None:
    """Return the standard error of sum(numerators) / sum(denominators) over independent draws of the pairs.

    Linearisation of the ratio estimator (Cochran 1977, Sampling Techniques, section 6.4); None for a single pair.
    """
    count, total = len(numerators), denominators.sum()
    if count < 2:
        return None
    residuals = numerators - numerators.sum() / total * denominators
    return float(np.sqrt(count / (count - 1) * np.square(residuals).sum()) / total)
