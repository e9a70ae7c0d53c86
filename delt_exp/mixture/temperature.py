"""Shares that are more equal than the sources are large."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import PositiveFloat, checked
from delt_exp.mixture.sources import Sources


@checked
def temperature(sources: Sources, *, temperature: PositiveFloat) -> NDArray[np.float64]:
    """Return shares in proportion to n^(1 / temperature), n the tokens of a source (Devlin 2019; Xue et al. 2021).

    1 gives the natural shares, larger ones more equal shares, below 1 large sources gain. Small sources may repeat
    without a limit: how often is on the page of the run.
    """
    logs_G = np.log(sources.tokens_G)
    with np.errstate(over="ignore"):  # near 0, -inf: no share for all but the largest
        above_G = np.exp((logs_G - logs_G.max()) / temperature)
    return np.asarray(above_G / above_G.sum())
