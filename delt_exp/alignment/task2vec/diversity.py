"""Task2Vec diversity coefficient: how different the batches of one text are (arXiv 2306.13840)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from delt_exp.alignment.base import Arrays, Coefficient, Text
from delt_exp.alignment.table import Describer, compare
from delt_exp.alignment.task2vec.metric import Task2VecAlignment
from delt_exp.errors import ConfigError
from delt_exp.resources import Resources
from delt_exp.rows.draws import generator
from delt_exp.tokenizer.base import Tokenizer

Draw = Callable[[np.random.Generator, tuple[int, ...], Tokenizer], NDArray[np.int64]]


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

    Raises ConfigError for fewer than 2 batches, which have no distance.
    """
    size = alignment.batch_documents
    if size is None or alignment.num_batches < 2:
        raise ConfigError("diversity compares batches of one text; use alignment.task2vec.num_batches=2 or more")
    describer = Describer(alignment, resources)
    described = describer.describe(text)
    coefficient = _distance(compare(alignment, described, described, resources.store)[0])
    values = []
    for name, draw in (("lower bound", _lower), ("upper bound", _upper)):
        compute = partial(_artificial, alignment, size, draw, resources)
        artificial = describer.stored(name, compute)
        values.append(1 - compare(alignment, artificial, artificial, resources.store)[0].value)
    return Diversity(coefficient, *values)


def _distance(c: Coefficient) -> Coefficient:
    low, high = None if c.high is None else 1 - c.high, None if c.low is None else 1 - c.low
    return Coefficient(1 - c.value, low, high, c.without_interval)


def _artificial(alignment: Task2VecAlignment, size: int, draw: Draw, resources: Resources) -> Arrays:
    embed, rng = alignment.embedder(resources), generator(alignment.seed, "artificial texts")
    batches = draw(rng, (alignment.num_batches, size, alignment.context_tokens), embed.probe.tokenizer)
    return {"embeddings": np.stack([embed(list(ids), rng.random(size)) for ids in batches])}


def _lower(rng: np.random.Generator, shape: tuple[int, ...], tokenizer: Tokenizer) -> NDArray[np.int64]:
    token = rng.integers(tokenizer.vocab_size)
    return np.where(rng.random(shape) < 1 / tokenizer.vocab_size, tokenizer.eos_id, token)


def _upper(rng: np.random.Generator, shape: tuple[int, ...], tokenizer: Tokenizer) -> NDArray[np.int64]:
    return rng.integers(tokenizer.vocab_size, size=shape)
