"""Documents of a corpus as samples for the annotator."""

from collections.abc import Iterable

import numpy as np
import torch

from delt_exp.corpus.tokens import IGNORED, Tokens
from delt_exp.scorer.lqs.samples import Sample


def document_sample(tokens: Tokens, row: int, context_tokens: int) -> Sample:
    """Return `context_tokens` predictions of begin token, document, end-of-text: the first, unless a prompt fills them.

    A prompt, and what no assistant wrote, is read but not predicted. A gradient belongs to one sequence, so a longer
    document is represented by its beginning; after a long prompt the sequence begins late enough for half of it to be
    what is predicted, where there is so much.
    """
    start = _first_prediction(tokens, row, context_tokens)
    body = tokens.document(row, start, start + context_tokens).astype(np.int64)
    before = tokens.document(row, start - 1, start) if start else [tokens.begin_id]
    whole = np.concatenate([before, body, [tokens.eos_id]])[: context_tokens + 1]
    labels = whole[1:].copy()
    labels[: len(body)][~tokens.predicted(row, start, start + context_tokens)] = IGNORED
    return Sample(torch.from_numpy(whole[:-1].copy()), torch.from_numpy(labels))


def _first_prediction(tokens: Tokens, row: int, context_tokens: int) -> int:
    """Return the position in the document of the first token that its sample predicts or skips."""
    is_predicted = tokens.predicted(row)
    return max(0, int(is_predicted.argmax()) - context_tokens // 2)


def document_samples(tokens: Tokens, rows: Iterable[int], context_tokens: int) -> list[Sample]:
    """Return a sample for each row."""
    return [document_sample(tokens, int(row), context_tokens) for row in rows]


def num_beyond(tokens: Tokens, rows: np.ndarray, context_tokens: int) -> int:
    """Return how many of the rows are longer than what `document_sample` takes of them."""
    return int((tokens.lengths[rows] + 1 > context_tokens).sum())
