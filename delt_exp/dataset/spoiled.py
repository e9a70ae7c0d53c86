"""A dataset with planted bad documents, to see whether a score finds them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import ClassVar, Literal

import numpy as np

from delt_exp.config.fields import Count, Seed, Share, settings
from delt_exp.dataset.base import Dataset, Document, EmptyFile
from delt_exp.dataset.spoiling import boilerplate, garbled, repeated, shuffled, snippet_of, swapped
from delt_exp.errors import ConfigError, DataError
from delt_exp.files import digest
from delt_exp.rows.draws import generator

CLEAN = "clean"
Kind = Literal["shuffled", "garbled", "repeated", "other domain", "swapped", "boilerplate"]


@settings
class Spoiled:
    """`dataset` with round(ratio N) documents spoiled, in equal parts by `kinds`; `source` says which, or `clean`.

    `shuffled`: words in random order; `garbled`: 40 % of the characters replaced by random letters; `repeated`: one
    snippet again and again; `other domain`: a document of `other`; `swapped`: 40 % of the pairs of neighbouring
    characters exchanged; `boilerplate`: phrases that web pages show around their text, in random order. No spoiled text
    is longer than what it replaces, so that length gives nothing away but where the other domain's documents are short.
    max_documents: of `dataset`.
    """

    VERSION: ClassVar[int] = 2
    dataset: Dataset
    other: Dataset
    ratio: Share
    max_documents: Count | None
    kinds: Sequence[Kind]
    seed: Seed

    def __post_init__(self) -> None:
        if not self.kinds or len(set(self.kinds)) < len(self.kinds):
            raise ConfigError(f"kinds={list(self.kinds)}: give at least one kind of spoiling, and none twice")

    def fingerprint(self) -> str:
        """Return a hash of both datasets' fingerprints."""
        return digest(self.dataset.fingerprint(), self.other.fingerprint())

    def documents(self) -> Iterator[Document]:
        """Yield all documents in the order of `dataset`; raises DataError when `other` has too few."""
        documents = _first(self.dataset, self.max_documents)
        if not documents:
            return
        rng = generator(self.seed, "spoiled documents")
        chosen = rng.permutation(len(documents))[: round(self.ratio * len(documents))]
        parts = dict(zip(self.kinds, np.array_split(chosen, len(self.kinds)), strict=True))
        foreign = self._foreign(len(parts.get("other domain", ())))
        snippet = snippet_of(_said(documents[rng.integers(len(documents))]))
        ways: dict[str, Callable[[str], str]] = {
            "shuffled": partial(shuffled, rng=rng),
            "garbled": partial(garbled, rng=rng),
            "repeated": partial(repeated, snippet=snippet),
            "swapped": partial(swapped, rng=rng),
            "boilerplate": partial(boilerplate, rng=rng),
        }
        kinds = {int(row): kind for kind, rows in parts.items() for row in rows}
        for row, document in enumerate(documents):
            kind = kinds.get(row, CLEAN)
            if kind == "other domain":  # one foreign text a document, over all that it says
                ways[kind] = partial(_piece, iter(next(foreign)))
            yield replace(document if kind == CLEAN else document.rewritten(ways[kind]), source=kind)

    def _foreign(self, count: int) -> Iterator[str]:
        texts = [_said(document) for document in _first(self.other, count)] if count else []
        if len(texts) < count:
            raise DataError(
                f"the other domain has {len(texts)} documents, but {count} are to replace some; "
                "use a larger train_dataset.other or a smaller train_dataset.ratio"
            )
        return iter(texts)


def _first(dataset: Dataset, count: int | None) -> list[Document]:
    return list(islice((d for d in dataset.documents() if not isinstance(d, EmptyFile)), count))


def _said(document: Document) -> str:
    """Return what is to be predicted of a document: its text, or the answers of a conversation."""
    return " ".join(part.text for part in document.parts if part.is_predicted)


def _piece(letters: Iterator[str], text: str) -> str:
    """Return the next letters, as many as `text` has."""
    return "".join(islice(letters, len(text)))
