"""Solved questions that stand in front of the one about a document: from a file, or made of the corpus."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.corpus import Corpus
from delt_exp.dataset.json_records import json_records
from delt_exp.dataset.spoiling import shuffled
from delt_exp.errors import ConfigError, DataError
from delt_exp.rows.draws import generator, shuffled_rows
from delt_exp.scorer.ask_llm.prompt import NO, YES, Example, cleaned
from delt_exp.tokenizer.base import Tokenizer

NEAREST = 32  # documents of about median length, among which examples are drawn
ANSWERS = (YES, NO, YES, NO)


def example_rows(corpus: Corpus, count: int, seed: int) -> NDArray[np.intp]:
    """Return `count` rows for examples, drawn among the documents whose length is nearest to the median.

    Which documents these are depends on no order. Raises ConfigError for a corpus that is too small.
    """
    if len(corpus) < 2 * count:
        raise ConfigError(
            f"{len(corpus)} documents are too few to make {count} examples of them; use scorer.shots=0, or give "
            "examples: scorer.examples=FILE.jsonl"
        )
    distance_N = np.abs(corpus.whole_bytes - np.median(corpus.whole_bytes))
    near = np.lexsort((corpus.ids, distance_N))[:NEAREST]
    return near[shuffled_rows(corpus.ids[near], seed, "examples of a question")[:count]]


def made_examples(texts: Sequence[str], tokenizer: Tokenizer, most_tokens: int, seed: int) -> list[Example]:
    """Return examples of these texts: good ones as they are, bad ones with their words in random order, in turn."""
    draws = generator(seed, "spoiled examples of a question")
    cut = [tokenizer.beginning(cleaned(text), most_tokens) for text in texts]
    pairs = zip(cut, ANSWERS, strict=True)
    return [Example(text if answer == YES else shuffled(text, draws), answer) for text, answer in pairs]


def read_examples(file: Path, count: int, tokenizer: Tokenizer, most_tokens: int) -> list[Example]:
    """Return the examples of a JSON Lines file with `text` and `answer`; raises DataError for anything else."""
    if not file.is_file():
        raise ConfigError(f"scorer.examples={file} is not a file; give one with one object per line: text and answer")
    examples = []
    for record, place in json_records(file):
        text, answer = record.get("text"), record.get("answer")
        if not isinstance(text, str) or not cleaned(text) or answer not in (YES, NO):
            raise DataError(f'{place}: an example needs "text", which is not empty, and "answer", "{YES}" or "{NO}"')
        examples.append(Example(tokenizer.beginning(cleaned(text), most_tokens), str(answer)))
    if len(examples) != count:
        raise ConfigError(f"{file} has {len(examples)} examples, but scorer.shots is {count}; give {count} of them")
    return examples
