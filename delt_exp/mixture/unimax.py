"""Shares as equal as they can be when no source is read more than a few times."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import PositiveFloat, checked
from delt_exp.errors import ConfigError
from delt_exp.mixture.sources import Sources


@checked
def unimax(sources: Sources, *, max_epochs: PositiveFloat) -> NDArray[np.float64]:
    """Return the shares of UniMax (Chung et al. 2023, arXiv 2304.09151, algorithm 1).

    From the smallest source to the largest: each gets an equal part of the budget that is left, at most `max_epochs`
    times its own tokens; what it cannot take goes to the larger ones. Raises ConfigError for a budget that
    `max_epochs` epochs of everything do not fill.
    """
    capped_G = max_epochs * sources.tokens_G
    if capped_G.sum() < sources.budget_tokens:
        raise ConfigError(
            f"mixture.max_epochs={max_epochs:g} epochs of all sources are {int(capped_G.sum())} tokens, fewer than the "
            f"{sources.budget_tokens} to train on; raise mixture.max_epochs, or lower training.epochs or "
            "training.max_tokens, whichever is set"
        )
    left, tokens_G = float(sources.budget_tokens), np.zeros(len(sources.names))
    ascending = np.argsort(sources.tokens_G, kind="stable")
    for number, source in enumerate(ascending):
        tokens_G[source] = min(left / (len(ascending) - number), capped_G[source])
        left -= tokens_G[source]
    return tokens_G / sources.budget_tokens
