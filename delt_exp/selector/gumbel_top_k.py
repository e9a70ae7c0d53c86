"""Keep a random share of the corpus in which better documents are likelier."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import PositiveFloat, PositiveShare, Seed, checked
from delt_exp.rows.candidates import Candidates
from delt_exp.rows.draws import uniform_per_id
from delt_exp.rows.ranking import spread
from delt_exp.selector.budget import Unit, best_within, share_of


@checked
def gumbel_top_k(
    candidates: Candidates,
    *,
    ratio: PositiveShare,
    unit: Unit,
    temperature: PositiveFloat,
    standardise: bool,
    seed: Seed,
) -> NDArray[np.intp]:
    """Return rows drawn without replacement in proportion to exp(score / temperature), in row order.

    They are floor(ratio * N) of N documents, or drawn until they have floor(ratio * T) of all T tokens.
    standardise: the temperature counts in standard deviations of these scores, so that it means the same for every
    score; otherwise in their unit. Equivalent to the highest score / temperature + Gumbel noise (Kool et al. 2019,
    arXiv:1903.06059), computed as score + temperature * noise, which cannot overflow. The noise depends on id and seed
    alone: a document keeps its luck in another corpus. PDS (arXiv:2410.07064) takes ratio 0.4 and temperature 0.1 on
    standardised scores.
    """
    budget = share_of(candidates, ratio, unit)
    if standardise:
        # Equal scores, which rounding may set apart, have no deviation: any temperature draws them with equal chances.
        temperature *= spread(candidates.goodness) or 1.0
    noise = -np.log(-np.log(uniform_per_id(candidates.ids, seed, "Gumbel noise")))
    return best_within(candidates, candidates.goodness + temperature * noise, budget, unit)
