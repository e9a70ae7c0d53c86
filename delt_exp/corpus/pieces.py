"""Token ids of many short documents in few long pieces, for arithmetic that costs a little for each call."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 1 << 22  # tokens


def joined(documents: Iterable[NDArray[np.integer]]) -> Iterator[NDArray[np.integer]]:
    """Yield documents joined to pieces of at least `AT_ONCE` tokens, but for the last."""
    held: list[NDArray[np.integer]] = []
    count = 0
    for ids in documents:
        held.append(ids)
        count += len(ids)
        if count >= AT_ONCE:
            yield np.concatenate(held)
            held, count = [], 0
    if held:
        yield np.concatenate(held)
