"""Which documents stay: functions of `Candidates` that return the kept row positions, in the row order of the corpus.

Higher goodness is better. No selector depends on the order of the rows: ties fall back to the higher id, draws are made
per id. Every selector raises ConfigError for a setting outside its range and for a selection that keeps nothing. One
with quotas for each source reads `Candidates.groups`; one that looks at the documents themselves, their gradients or
embeddings, is a `ReadingSelector` instead of a function (`delt_exp.selector.reading`).
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.rows.candidates import Candidates

Selector = Callable[[Candidates], NDArray[np.intp]]
Function = TypeVar("Function", bound=Callable[..., NDArray[np.intp]])


def ignores_scores(function: Function) -> Function:
    """Mark a selector whose choice does not depend on goodness, so that no page says it chose by scores."""
    function.__dict__["needs"] = frozenset()
    return function
