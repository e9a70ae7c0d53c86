"""Texts of known domains, cut as a model's own texts are: what a classifier learns from and is measured on.

K domains, R reference texts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.errors import ConfigError
from delt_exp.rows.draws import fold_of, generator, random_rows
from delt_exp.tokenizer.base import Tokenizer

Starts = Literal["documents", "windows"]
LEAST_HELD_OUT = 2  # of a domain; a bootstrap over one text would be no bootstrap


@dataclass(frozen=True, eq=False)
class References:
    """Texts with their domains [R], a number of `labels`; either half has texts of all of them."""

    labels: tuple[str, ...]
    texts: list[str]
    domain_R: NDArray[np.intp]
    is_held_out_R: NDArray[np.bool_]
    first_tokens: list[NDArray[np.int64]]

    def half(self, *, held_out: bool) -> tuple[list[str], NDArray[np.intp]]:
        """Return texts and domains of those that are held out from the classifier, or of the others."""
        chosen = np.flatnonzero(self.is_held_out_R == held_out)
        return [self.texts[row] for row in chosen], self.domain_R[chosen]


def read_references(
    domains: Mapping[str, TokenizedCorpus], tokenizer: Tokenizer, starts: Starts, max_tokens: int,
    max_documents: int | None, seed: int,
) -> References:  # fmt: skip
    """Return up to `max_documents` texts of each domain (None: all), of at most `max_tokens` tokens.

    starts: `documents` cuts each where a model that began with it would be stopped. `windows` cuts pieces that begin at
    any token, long documents accordingly more often. About half of the texts of each domain are held out, by the ids
    of their documents: equal texts are in one half. first_tokens: of each domain, one for each text. Raises ConfigError
    for fewer than two domains, and for one without texts in both halves.
    """
    if len(domains) < 2:
        raise ConfigError(f"{len(domains)} domains are given; shares need at least two")
    texts: list[str] = []
    first, sizes, held_out = [], [], []
    for number, (label, domain) in enumerate(domains.items()):
        rows = random_rows(domain.tokens.ids, max_documents or len(domain), seed, "reference texts")
        is_held_out = fold_of(np.asarray(domain.tokens.ids[rows]), 2, seed) == 1
        _check_halves(label, is_held_out)
        pieces, halves = [], []
        for row, offset, half in _starts(domain, rows, is_held_out, starts, seed, number):
            pieces.append(domain.tokens.document(row, offset, offset + max_tokens))
            halves.append(half)
        texts += [tokenizer.decode(piece.tolist()) for piece in pieces]
        first.append(np.array([piece[0] for piece in pieces], np.int64))
        sizes.append(len(pieces))
        held_out.append(np.array(halves))
    return References(tuple(domains), texts, np.repeat(np.arange(len(sizes)), sizes), np.concatenate(held_out), first)


def _starts(
    domain: TokenizedCorpus, rows: NDArray[np.intp], is_held_out: NDArray[np.bool_], starts: Starts, seed: int,
    number: int,
) -> Iterator[tuple[int, int, bool]]:  # fmt: skip
    """Yield document, position where its piece begins, and half, of as many pieces as there are rows."""
    if starts == "documents":
        yield from ((int(row), 0, bool(half)) for row, half in zip(rows, is_held_out, strict=True))
        return
    for half in (False, True):  # each half apart, so that no document is in both
        own = rows[is_held_out == half]
        ends = np.cumsum(domain.tokens.lengths[own].astype(np.int64))
        drawn = generator(seed, "windows of reference texts", number, int(half)).integers(ends[-1], size=len(own))
        index = np.searchsorted(ends, drawn, side="right")
        offsets = drawn - (ends - domain.tokens.lengths[own])[index]
        yield from ((int(own[i]), int(offset), half) for i, offset in zip(index, offsets, strict=True))


def _check_halves(label: str, is_held_out: NDArray[np.bool_]) -> None:
    num_held_out = int(is_held_out.sum())
    if num_held_out < LEAST_HELD_OUT or num_held_out == len(is_held_out):
        raise ConfigError(
            f"domain {label} has {len(is_held_out)} documents, of which {num_held_out} would be held out to measure "
            f"the classifier; it needs at least {LEAST_HELD_OUT} and one to learn from: give more documents of it"
        )
