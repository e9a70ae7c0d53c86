"""Keep every document above a score."""

from typing import Annotated

import numpy as np
from annotated_types import Interval
from numpy.typing import NDArray

from delt_exp.config.fields import HalfOpenShare, checked
from delt_exp.errors import ConfigError
from delt_exp.rows.candidates import Candidates

Float32 = Annotated[float, Interval(gt=-3.4e38, lt=3.4e38)]


@checked
def threshold(candidates: Candidates, *, value: Float32 | None, quantile: HalfOpenShare | None) -> NDArray[np.intp]:
    """Return the rows whose score is strictly greater than the cut, in row order.

    The cut is either `value`, on the scale of the scores, or their `quantile` in [0, 1), linearly interpolated, which
    needs no knowledge of the scale. Exactly one of them is given. The cut is rounded to float32, as the scores are.
    """
    setting, goodness = _given(value, quantile), candidates.goodness
    cut = value if quantile is None else np.quantile(goodness, quantile) if len(candidates) else 0.0
    kept = np.flatnonzero(goodness > np.float32(cut))
    if not len(kept):
        highest = f"the highest score is {goodness.max():g}" if len(candidates) else "the corpus is empty"
        raise ConfigError(f"{setting} keeps none of {len(candidates)} documents: {highest}; lower it")
    return kept


def _given(value: float | None, quantile: float | None) -> str:
    """Return the one setting that is given, as text; raises ConfigError for none or both."""
    if (value is None) == (quantile is None):
        raise ConfigError(
            f"selector.value={value} and selector.quantile={quantile}: exactly one must be a number; "
            "set the other one to null"
        )
    return f"selector.value={value}" if quantile is None else f"selector.quantile={quantile}"
