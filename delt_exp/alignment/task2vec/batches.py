"""Embeddings of batches of documents as a map: each batch is a shard of its own, for whichever process takes it.

M batches, S documents of a batch, T tokens of a document, F filters.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.corpus import Corpus
from delt_exp.files import digest
from delt_exp.mapping.items import Advance, JudgementError, settings_of
from delt_exp.mapping.shards import SHARD_SIZE
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.rows.draws import generator, uniform_per_id
from delt_exp.tokenizer.base import Tokenizer

ENCODED_TOGETHER = 256  # texts at a time: of a batch of many documents, only their beginnings are held

Document = tuple[NDArray[np.int64], float]
"""Token ids, at least as many as are read where there are, and the number in (0, 1) that decides the labels drawn."""
Embed = Callable[["Batches", int, int], NDArray[np.float32]]
"""From batches, the number of one of them and the tokens of a pass to its embedding [F]."""


class Batches(Protocol):
    """Batches of documents; a frozen dataclass that travels to the workers."""

    @property
    def content(self) -> Any:
        """What decides the documents, as JSON-like values."""

    def __len__(self) -> int: ...
    def documents(self, batch: int, tokenizer: Tokenizer) -> Iterator[Document]:
        """Yield the documents of a batch."""


@dataclass(frozen=True, eq=False)
class TextBatches:
    """Batches of the documents of a corpus, rows [M, S]; `seed` draws their labels."""

    corpus: Corpus
    rows: NDArray[np.intp]
    seed: int

    @property
    def content(self) -> Any:
        return [digest(np.asarray(self.corpus.ids[self.rows])), *self.rows.shape, self.seed]

    def __len__(self) -> int:
        return len(self.rows)

    def documents(self, batch: int, tokenizer: Tokenizer) -> Iterator[Document]:
        rows = self.rows[batch]
        draws = uniform_per_id(np.asarray(self.corpus.ids[rows]), self.seed, "labels of a batch", batch)
        for start in range(0, len(rows), ENCODED_TOGETHER):
            part = slice(start, start + ENCODED_TOGETHER)
            encoded = tokenizer.encode(list(self.corpus.texts(rows[part])))
            for ids, draw in zip(encoded, draws[part], strict=True):
                yield np.asarray(ids, np.int64), float(draw)


@dataclass(frozen=True)
class FisherJudge:
    """The Task2Vec embedding of a batch under the model `name`, `width` numbers; the rest as in `Task2VecAlignment`."""

    dtype: ClassVar[str] = "float32"
    name: str
    revision: str | None
    tokenizer_folder: Path
    width: int
    context_tokens: int
    epochs: int
    tuning_documents: int
    lr: float
    weight_decay: float
    embeddings: bool

    def open(self, device: str) -> Embed:
        """Load the model; raises ConfigError where its logits are anything else than the head of its hidden states."""
        from delt_exp.alignment.task2vec.fisher import FisherSettings, Passage, fisher_embedding
        from delt_exp.alignment.task2vec.head import Tuning, split_network

        network, tokenizer = load_causal_lm(self.name, self.revision).to(device), Tokenizer(self.tokenizer_folder)
        split_network(network)
        tuning = Tuning(self.epochs, self.tuning_documents, self.lr, self.weight_decay)
        ends = tokenizer.begin_id, tokenizer.eos_id

        def passage(document: Document) -> Passage:
            ids, draw = document
            labels = generator(int(draw * 2**53), "labels of a document")
            return Passage(ids[: self.context_tokens], labels.random(self.context_tokens, np.float32))

        def embed(batches: Batches, batch: int, pass_tokens: int) -> NDArray[np.float32]:
            passages = [passage(document) for document in batches.documents(batch, tokenizer)]
            in_a_pass = max(1, pass_tokens // self.context_tokens)
            settings = FisherSettings(self.context_tokens, tuning, self.embeddings, in_a_pass)
            return fisher_embedding(network, passages, ends, settings)

        return embed


@dataclass(frozen=True, eq=False)
class BatchItems:
    """Batches as the items of a map."""

    UNIT: ClassVar[str] = "batches"
    batches: Batches
    judge: FisherJudge

    @property
    def source(self) -> str:
        return digest(self.batches.content, settings_of(self.judge))

    def sizes(self) -> NDArray[np.int64]:
        """Return the size of a shard for every batch: it is tuned on for several epochs, so it takes long."""
        return np.full(len(self.batches), SHARD_SIZE)

    def ids(self, items: slice) -> NDArray[np.uint64]:
        return np.arange(items.start, items.stop, dtype=np.uint64)

    def read(self, judgement: Embed, items: slice, batch_tokens: int, advance: Advance) -> NDArray[np.float32]:
        embeddings_NF = np.empty((items.stop - items.start, self.judge.width), np.float32)
        for place, batch in enumerate(range(items.start, items.stop)):
            try:
                embeddings_NF[place] = judgement(self.batches, batch, batch_tokens)
            except Exception as error:
                raise JudgementError(f"batch {batch} of {len(self.batches)}") from error
            advance(1, 0)
        return embeddings_NF
