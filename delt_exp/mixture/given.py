"""Shares by hand."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Share, checked
from delt_exp.errors import ConfigError
from delt_exp.mixture.sources import Sources


@checked
def given(sources: Sources, *, shares: Mapping[str, Share] | None) -> NDArray[np.float64]:
    """Return `shares`, by the name of each source; they sum to 1. Raises ConfigError for others."""
    if shares is None:
        raise ConfigError(f"mixture.shares is null; give every source a share: {', '.join(sources.names)}")
    return sources.by_name(dict(shares), "mixture.shares")
