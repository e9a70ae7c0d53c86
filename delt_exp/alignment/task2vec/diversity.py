"""Task2Vec diversity coefficient: how different the batches of one text are (arXiv 2306.13840)."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.alignment.base import Arrays, Coefficient, Text
from delt_exp.alignment.table import Describer, compare
from delt_exp.alignment.task2vec.batches import BatchItems, Document
from delt_exp.alignment.task2vec.metric import Task2VecAlignment
from delt_exp.errors import ConfigError
from delt_exp.mapping.map_documents import map_items
from delt_exp.resources import Resources
from delt_exp.rows.draws import generator
from delt_exp.tokenizer.base import Tokenizer


@dataclass(frozen=True)
class Diversity:
    """Mean distance of two batches of a text, with its interval, between what two artificial texts have.

    lower: one random token over and over, with an end-of-text token at a rate of 1 / V; upper: random tokens, all
    equally likely.
    """

    coefficient: Coefficient
    lower: float
    upper: float


def diversity(alignment: Task2VecAlignment, text: Text, resources: Resources) -> Diversity:
    """Return div(D) = E over batches B1 != B2 of d(e_B1, e_B2) = 1 - align(D, D), and its bounds.

    Raises ConfigError for fewer than 2 batches, which have no distance, and for too few documents.
    """
    size = alignment.batch_documents
    if size is None or alignment.num_batches < 2:
        raise ConfigError("diversity compares batches of one text; use alignment.task2vec.num_batches=2 or more")
    alignment.check_documents(len(text.ids), "the text")
    describer = Describer(alignment, resources)
    described = describer.describe(text)
    coefficient = _distance(compare(alignment, described, described, resources.store)[0])
    values = []
    for name in ("lower bound", "upper bound"):
        artificial = describer.stored(name, partial(_artificial, alignment, size, name, resources))
        values.append(1 - compare(alignment, artificial, artificial, resources.store)[0].value)
    return Diversity(coefficient, *values)


def _distance(c: Coefficient) -> Coefficient:
    low, high = None if c.high is None else 1 - c.high, None if c.low is None else 1 - c.low
    return Coefficient(1 - c.value, low, high, c.without_interval)


def _artificial(alignment: Task2VecAlignment, size: int, bound: str, resources: Resources, folder: Path) -> Arrays:
    judge = alignment.judge(resources)
    tokenizer, shape = Tokenizer(judge.tokenizer_folder), (alignment.num_batches, size, alignment.context_tokens)
    batches = ArtificialBatches(bound, shape, tokenizer.vocab_size, tokenizer.eos_id, alignment.seed)
    return {"embeddings": map_items(resources, BatchItems(batches, judge), folder, f"embedding its {bound}", None)}


@dataclass(frozen=True)
class ArtificialBatches:
    """Batches of a text of random tokens; bound, which of `Diversity` it gives: `lower bound` or `upper bound`.

    shape: batches, documents of each, tokens of each.
    """

    bound: str
    shape: tuple[int, int, int]
    vocab_size: int
    eos_id: int
    seed: int

    @property
    def content(self) -> Any:
        return [self.bound, *self.shape, self.vocab_size, self.eos_id, self.seed]

    def __len__(self) -> int:
        return self.shape[0]

    def documents(self, batch: int, tokenizer: Tokenizer) -> Iterator[Document]:
        ids_MST, draws_MS = self._drawn
        return zip(ids_MST[batch], draws_MS[batch].tolist(), strict=True)

    @cached_property
    def _drawn(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """All batches, which come from one stream."""
        rng = generator(self.seed, "artificial texts")
        if self.bound == "lower bound":
            token = rng.integers(self.vocab_size)
            ids_MST = np.where(rng.random(self.shape) < 1 / self.vocab_size, self.eos_id, token)
        else:
            ids_MST = rng.integers(self.vocab_size, size=self.shape)
        return ids_MST, rng.random(self.shape[:2])
