"""Keep a number of best documents, or of tokens in best documents."""

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, checked
from delt_exp.errors import ConfigError
from delt_exp.rows.candidates import Candidates
from delt_exp.selector.budget import Unit, best_within, sizes_of


@checked
def top_k(candidates: Candidates, *, k: Count, unit: Unit) -> NDArray[np.intp]:
    """Return the rows of highest score, in row order; of tied scores the higher ids stay.

    They are `k` documents, or the best ones with at most `k` tokens. `k` is in [1, N], N all documents or tokens: the
    released DELT code keeps everything at k = 0 (a slice from -0), here that is an error.
    """
    size = int(sizes_of(candidates, unit).sum())
    if k > size:
        raise ConfigError(
            f"selector.k={k} is more than the {size} {unit} of the corpus; "
            f"lower selector.k to at most {size} or use a larger train_dataset"
        )
    return best_within(candidates, candidates.goodness, k, unit)
