"""The reward that DPO learns: log p(answer) - log p(answer) under the model that it began with. N preferences."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.pairs import fitting
from delt_exp.corpus.tokens import Tokens
from delt_exp.mapping.pairs import map_pairs
from delt_exp.preference.judges import PreferenceJudge
from delt_exp.resources import Resources

PRECISION = "32-true"  # of reading, whatever the model was trained with


def log_ratios(
    resources: Resources, tokens: Tokens, rows: NDArray[np.intp], judge: PreferenceJudge, folder: Path
) -> NDArray[np.float64]:
    """Return [N, 2] for the chosen and the rejected answers of `rows`, in nats; NaN where one does not fit the context.

    Source: arXiv 2305.18290, section 4, without beta, which scales all rewards alike.
    """
    fits = fitting(tokens, judge.context_tokens)[rows]
    rewards_N2 = np.full((len(rows), 2), np.nan)
    if fits.any():
        numbers_N6 = map_pairs(resources, tokens, rows[fits], judge, folder / "shards", "rewards")
        rewards_N2[fits] = numbers_N6[:, [0, 3]] - numbers_N6[:, [1, 4]]
    return rewards_N2
