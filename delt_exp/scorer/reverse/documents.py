"""Documents of a corpus as samples for the annotator."""

from collections.abc import Iterable

import numpy as np
import torch

from delt_exp.corpus.tokens import Tokens
from delt_exp.corpus.windows import Windowing, windows_of
from delt_exp.scorer.reverse.samples import Sample


def document_samples(tokens: Tokens, rows: Iterable[int], context_tokens: int) -> list[Sample]:
    """Return for each row `context_tokens` predictions of begin token, document, end-of-text; see `Windowing`.

    A gradient belongs to one sequence, so a longer document is represented by its beginning. A prompt, and what no
    assistant wrote, is read but not predicted.
    """
    windows = windows_of(tokens, np.fromiter(rows, np.intp), Windowing("beginning", context_tokens))
    batches = (windows.batch(np.array([window])) for window in range(len(windows.rows)))
    return [Sample(torch.from_numpy(batch.ids_WT[0]), torch.from_numpy(batch.labels_WT[0])) for batch in batches]


def num_beyond(tokens: Tokens, rows: np.ndarray, context_tokens: int) -> int:
    """Return how many of the rows are longer than what `document_samples` takes of them."""
    return int((tokens.lengths[rows] + 1 > context_tokens).sum())
