"""Documents of a corpus as samples for the annotator."""

from collections.abc import Iterable

import numpy as np
import torch

from delt_exp.lqs.samples import Sample
from delt_exp.plan import IGNORED
from delt_exp.tokens import Tokens


def document_sample(tokens: Tokens, row: int, context_tokens: int) -> Sample:
    """Return the first `context_tokens` predictions of begin token, document, end-of-text.

    A prompt, and what no assistant wrote, is read but not predicted. A gradient belongs to one sequence, so a longer
    document is represented by its beginning.
    """
    body = tokens.document(row, 0, context_tokens).astype(np.int64)
    whole = np.concatenate([[tokens.begin_id], body, [tokens.eos_id]])[: context_tokens + 1]
    labels = whole[1:].copy()
    labels[: len(body)][~tokens.predicted(row, 0, context_tokens)] = IGNORED
    return Sample(torch.from_numpy(whole[:-1].copy()), torch.from_numpy(labels))


def document_samples(tokens: Tokens, rows: Iterable[int], context_tokens: int) -> list[Sample]:
    """Return a sample for each row."""
    return [document_sample(tokens, int(row), context_tokens) for row in rows]


def num_beyond(tokens: Tokens, rows: np.ndarray, context_tokens: int) -> int:
    """Return how many of the rows are longer than what `document_sample` takes of them."""
    return int((tokens.lengths[rows] + 1 > context_tokens).sum())
