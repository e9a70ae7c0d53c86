"""Random shares around the natural ones, to learn from small models what each source is worth."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import NonNegativeInt, PositiveFloat, Seed, checked
from delt_exp.errors import ConfigError
from delt_exp.mixture.sources import Sources
from delt_exp.rows.draws import generator


@checked
def dirichlet(
    sources: Sources, *, draw: NonNegativeInt, least_concentration: PositiveFloat,
    most_concentration: PositiveFloat, seed: Seed,
) -> NDArray[np.float64]:  # fmt: skip
    """Return draw number `draw` of Dirichlet(concentration * natural shares), as RegMix draws (arXiv 2407.01492).

    The mean of all draws is the natural mixture. The concentration is itself drawn, log-uniform between the two given:
    at 1 and below, one source has nearly all; the larger, the closer to natural. Shares depend on the draw, the seed,
    and the names and sizes of the sources.
    """
    if least_concentration > most_concentration:
        raise ConfigError(
            f"mixture.least_concentration={least_concentration:g} is above mixture.most_concentration="
            f"{most_concentration:g}; exchange them"
        )
    rng: Any = generator(seed, "mixture of sources", draw)
    concentration = math.exp(rng.uniform(math.log(least_concentration), math.log(most_concentration)))
    # By name, so that the order of the sources decides nothing.
    by_name, shares_G = np.argsort(sources.names), np.empty(len(sources.names))
    shares_G[by_name] = rng.dirichlet(concentration * sources.natural_shares[by_name])
    return shares_G
