"""Open and close the training with one end of the score range (arXiv:2605.30334)."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Seed, Share, checked
from delt_exp.errors import ConfigError
from delt_exp.rows.candidates import Candidates
from delt_exp.rows.draws import generator
from delt_exp.rows.ranking import floor_share, rank

End = Literal["low", "high"]


@checked
def segment(
    candidates: Candidates,
    *,
    front_ratio: Share,
    back_ratio: Share,
    front_end: End,
    back_end: End,
    seed: Seed,
) -> NDArray[np.intp]:
    """Return a front of floor(front_ratio * N) rows, the middle, and a back of floor(back_ratio * N), each shuffled.

    `front_end` and `back_end` name the end of the score range, "low" or "high", that the segment is taken from. When
    both take from the same end, the two share its extreme rows at random. The ratios are in [0, 1] with a sum of at
    most 1; the released code shrinks a larger sum with a warning, here it is a ConfigError.
    """
    if front_ratio + back_ratio > 1:
        raise ConfigError(
            f"orderer.front_ratio={front_ratio} and orderer.back_ratio={back_ratio} add up to more than 1; lower one"
        )
    rng = generator(seed, "order inside segments")
    num_front, num_back = floor_share(front_ratio, len(candidates)), floor_share(back_ratio, len(candidates))
    num_low = num_front * (front_end == "low") + num_back * (back_end == "low")
    num_high = num_front + num_back - num_low
    low, middle, high = np.split(rank(candidates.ids, candidates.goodness), [num_low, len(candidates) - num_high])
    ends = {"low": rng.permutation(low), "high": rng.permutation(high)}
    # Different ends: the front takes the whole of its end. The same end: the front of the pool, the rest is the back.
    front, back = ends[front_end][:num_front], ends[back_end][len(ends[back_end]) - num_back :]
    return np.concatenate([front, rng.permutation(middle), back])
