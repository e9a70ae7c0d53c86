"""What each update of a run was made of.

Shapes: N occurrences of documents in an update.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delt_exp.corpus.tokens import Tokens
from delt_exp.scorer.reverse.documents import document_samples
from delt_exp.scorer.reverse.samples import Sample


@dataclass(frozen=True, eq=False)
class Update:
    """One update, whose loss is the sum of weight times mean token loss over `samples`, the documents `rows_N`."""

    samples: Sequence[Sample]
    weights_N: Tensor
    rows_N: NDArray[np.intp]


def document_updates(tokens: Tokens, batches: Sequence[NDArray[np.intp]], context_tokens: int) -> list[Update]:
    """Updates on whole documents (their first `context_tokens`), each of which counts the same in its batch."""
    updates = []
    for rows_N in batches:
        samples = document_samples(tokens, rows_N, context_tokens)
        weights_N = torch.full((len(samples),), 1 / len(samples), dtype=torch.float64)
        updates.append(Update(samples, weights_N, rows_N))
    return updates
