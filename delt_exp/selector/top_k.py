"""Keep a number of best documents."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.checks import check_integer
from delt_exp.errors import ConfigError
from delt_exp.rows.candidates import Candidates
from delt_exp.rows.ranking import best_rows


def top_k(candidates: Candidates, *, k: int) -> NDArray[np.intp]:
    """Return the `k` rows of highest score, in row order; of tied scores the higher ids stay.

    `k` is in [1, N]: the released DELT code keeps everything at k = 0 (a slice from -0), here that is an error.
    """
    check_integer("selector.k", k, at_least=1)
    if k > len(candidates):
        raise ConfigError(
            f"selector.k={k} is more than the {len(candidates)} documents of the corpus; "
            f"lower selector.k to at most {len(candidates)} or use a larger train_dataset"
        )
    return best_rows(candidates.ids, candidates.goodness, k)
