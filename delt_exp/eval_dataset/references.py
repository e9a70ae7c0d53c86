"""Losses that need no model: what a loss is to be read against.

Shape suffixes: V tokens of the vocabulary, N documents.
"""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.pieces import joined
from delt_exp.corpus.tokens import Tokens
from delt_exp.files import read_json, write_json
from delt_exp.store.store import Store

COUNTED_TOKENS = 20_000_000  # of the candidates: frequencies are known well enough, and reading more takes time


def loss_references(store: Store, candidates: Tokens, text: Tokens) -> dict[str, float]:
    """Return losses on the predicted tokens of `text` [nats/token]: `uniform` and `unigram`.

    uniform: every token of the vocabulary is equally likely, ln V. unigram: as frequent as among the candidates, each
    counted once more, so that none is impossible. Empty for a text without predicted tokens.
    """
    inputs = {"candidates": candidates.digest, "text": text.digest, "counted_tokens": COUNTED_TOKENS}

    def build(folder: Path) -> None:
        write_json(folder / "losses.json", _losses(candidates, text))

    losses: dict[str, float] = read_json(store.get("references", inputs, build).path / "losses.json")
    return losses


def _losses(candidates: Tokens, text: Tokens) -> dict[str, float]:
    vocab_size = int(candidates.meta["vocab_size"])
    last = int(np.searchsorted(candidates.offsets, COUNTED_TOKENS))
    known_V = _counts((candidates.document(row) for row in range(min(last, len(candidates)))), vocab_size)
    asked_V = _counts((text.document(row)[text.predicted(row)] for row in range(len(text))), vocab_size)
    if not asked_V.any():
        return {}
    log_p_V = np.log((known_V + 1) / (known_V.sum() + vocab_size))
    return {"uniform": math.log(vocab_size), "unigram": float(-(asked_V @ log_p_V) / asked_V.sum())}


def _counts(documents: Iterable[NDArray[np.integer]], vocab_size: int) -> NDArray[np.int64]:
    counts_V = np.zeros(vocab_size, np.int64)
    for ids in joined(documents):
        counts_V += np.bincount(ids, minlength=vocab_size)
    return counts_V
