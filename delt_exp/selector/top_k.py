"""Keep a number of best documents."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, checked
from delt_exp.errors import ConfigError
from delt_exp.rows.candidates import Candidates
from delt_exp.rows.ranking import best_rows


@checked
def top_k(candidates: Candidates, *, k: Count) -> NDArray[np.intp]:
    """Return the `k` rows of highest score, in row order; of tied scores the higher ids stay.

    `k` is in [1, N]: the released DELT code keeps everything at k = 0 (a slice from -0), here that is an error.
    """
    if k > len(candidates):
        raise ConfigError(
            f"selector.k={k} is more than the {len(candidates)} documents of the corpus; "
            f"lower selector.k to at most {len(candidates)} or use a larger train_dataset"
        )
    return best_rows(candidates.ids, candidates.goodness, k)
