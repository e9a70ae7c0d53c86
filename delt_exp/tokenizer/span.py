"""Documents of several parts to token ids: one text, encoded once, whatever the parts.

Encoding the parts apart would not give the ids of the whole: SentencePiece puts a space of its own in front of each,
and byte-level BPE has one token for a space and the word after it. So the border between parts is found afterwards,
from the characters that each token covers.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tokenizers import Encoding
    from tokenizers import Tokenizer as RustTokenizer


class Span(NamedTuple):
    """A stretch of a document as the tokenizer gets it; token_id: it is that special token, and no text."""

    text: str
    is_predicted: bool
    token_id: int | None = None


Flags = NDArray[np.bool_]


def encode_runs(rust: "RustTokenizer", documents: Sequence[Sequence[Span]]) -> list[tuple[list[int], Flags]]:
    """Return for each document its ids and which are predicted; special tokens split it into runs of text."""
    runs = [[(is_text, list(spans)) for is_text, spans in groupby(d, lambda s: s.token_id is None)] for d in documents]
    texts = ["".join(span.text for span in spans) for d in runs for is_text, spans in d if is_text]
    encoded = iter(rust.encode_batch(texts, add_special_tokens=False))
    return [_joined([_run(next(encoded), spans) if is_text else _special(spans) for is_text, spans in d]) for d in runs]


def encode_marked(rust: "RustTokenizer", spans: Sequence[Span]) -> tuple[list[int], NDArray[np.intp]]:
    """Return the ids of the one text that spans are, and for each token which span its last character is of."""
    ids: list[int] = []
    owners: list[NDArray[np.intp]] = []
    for is_text, run in groupby(enumerate(spans), lambda entry: entry[1].token_id is None):
        entries = list(run)
        if is_text:
            encoding = rust.encode("".join(span.text for _, span in entries), add_special_tokens=False)
            owner = np.repeat([i for i, _ in entries], [len(span.text) for _, span in entries]).astype(np.intp)
            first, last = np.array(encoding.offsets, np.intp).reshape(-1, 2).T
            ids += encoding.ids
            owners.append(owner[np.minimum(np.maximum(last - 1, first), max(len(owner) - 1, 0))])
        else:
            ids += [span.token_id for _, span in entries if span.token_id is not None]
            owners.append(np.array([i for i, _ in entries], np.intp))
    return ids, np.concatenate([np.empty(0, np.intp), *owners])


def _joined(parts: list[tuple[list[int], Flags]]) -> tuple[list[int], Flags]:
    return [i for ids, _ in parts for i in ids], np.concatenate([np.empty(0, bool), *(flags for _, flags in parts)])


def _special(spans: list[Span]) -> tuple[list[int], Flags]:
    return [span.token_id for span in spans if span.token_id is not None], np.array([s.is_predicted for s in spans])


def _run(encoding: "Encoding", spans: list[Span]) -> tuple[list[int], Flags]:
    """A token that covers no character (a space the tokenizer adds) belongs to the character after it."""
    sizes = [len(span.text) for span in spans]
    predicted = np.repeat([span.is_predicted for span in spans], sizes)
    before = np.concatenate([[0], np.cumsum(predicted)])
    offsets = np.array(encoding.offsets, np.intp).reshape(-1, 2)
    first = np.minimum(offsets[:, 0], max(len(predicted) - 1, 0))
    last = np.minimum(np.maximum(offsets[:, 1], first + 1), len(predicted))
    return encoding.ids, before[last] > before[first]
