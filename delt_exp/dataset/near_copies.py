"""A dataset with planted near-duplicates, to see whether a method keeps them out."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import ClassVar

import numpy as np

from delt_exp.config.fields import Count, PositiveShare, ProperShare, Seed, settings
from delt_exp.dataset.base import Dataset, Document, EmptyFile
from delt_exp.rows.draws import generator

ONCE, ORIGINAL, COPY = "once", "original", "near copy"


@settings
class NearCopies:
    """`dataset` with round(ratio N) of its documents followed by `copies` near copies each; `source` says which is one.

    A near copy lacks a random share `left_out` of the words of what is to be predicted, at least one, and has no other
    spaces or lines than single spaces. `source` is `once`, `original` (a document with copies) or `near copy`.
    """

    VERSION: ClassVar[int] = 1
    dataset: Dataset
    ratio: PositiveShare
    copies: Count
    left_out: ProperShare
    seed: Seed

    def fingerprint(self) -> str:
        """Return the fingerprint of `dataset`."""
        return self.dataset.fingerprint()

    def documents(self) -> Iterator[Document]:
        """Yield every document, copies after their original; raises what `dataset` raises."""
        documents = [one for one in self.dataset.documents() if not isinstance(one, EmptyFile)]
        rng = generator(self.seed, "near copies")
        chosen = set(rng.permutation(len(documents))[: round(self.ratio * len(documents))].tolist())
        change = partial(_without_words, share=self.left_out, rng=rng)
        for row, document in enumerate(documents):
            yield replace(document, source=ORIGINAL if row in chosen else ONCE)
            for _ in range(self.copies if row in chosen else 0):
                yield replace(document.rewritten(change), source=COPY)


def _without_words(text: str, share: float, rng: np.random.Generator) -> str:
    """Return the words but for a random share of them, at least one; the only word of a text stays."""
    words = text.split()
    count = min(max(1, round(share * len(words))), max(0, len(words) - 1))
    gone = set(rng.permutation(len(words))[:count].tolist())
    return " ".join(word for place, word in enumerate(words) if place not in gone)
