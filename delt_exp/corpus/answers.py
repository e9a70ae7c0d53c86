"""Preferences with other answers in some rows: same prompts, same rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus import corpus as corpus_module
from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.stages import tokens_stage
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.corpus.writing import WHOLE, write_corpus
from delt_exp.dataset.base import Document
from delt_exp.errors import DataError
from delt_exp.files import digest
from delt_exp.store.store import Store
from delt_exp.tokenizer.base import Tokenizer


@dataclass(frozen=True, eq=False)
class Answers:
    """The chosen and the rejected answer of the documents `rows` [N], ascending."""

    rows: NDArray[np.intp]
    pairs: Sequence[tuple[str, str]]


def answered_stage(store: Store, documents: TokenizedCorpus, new: Answers, tokenizer: Tokenizer) -> TokenizedCorpus:
    """Return the documents with new answers; row i is row i. Raises DataError for an answer without text."""
    if not len(new.rows):
        return documents
    corpus = documents.corpus
    texts = digest(np.ascontiguousarray(new.rows, np.int64), [list(pair) for pair in new.pairs])
    inputs = {"corpus": corpus.digest, "answers": texts, "format": corpus_module.FORMAT}
    use = store.get("corpus", inputs, lambda folder: write_corpus(_Answered(corpus, new), WHOLE, folder))
    return tokens_stage(store, Corpus(use.path), tokenizer)


@dataclass(frozen=True, eq=False)
class _Answered:
    """A corpus with new answers, as the dataset that another one is written from."""

    VERSION: ClassVar[int] = 1
    corpus: Corpus
    new: Answers

    def documents(self) -> Iterator[Document]:
        pairs = dict(zip(self.new.rows.tolist(), self.new.pairs, strict=True))
        for row in range(len(self.corpus)):
            document = self.corpus.document(row)
            if row in pairs:
                if not all(text.strip() for text in pairs[row]):
                    raise DataError(f"document {row} would get an answer without text: {pairs[row]}")
                document = document.answered(*pairs[row])
            yield document

    def fingerprint(self) -> str:
        return self.corpus.digest
