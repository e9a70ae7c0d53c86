"""Alignment by token counts: no model, seconds for millions of tokens."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from delt_exp.alignment.base import Arrays, Coefficient, Description, Text
from delt_exp.alignment.interval import ratio
from delt_exp.config.fields import Count, PositiveFloat, Seed, settings
from delt_exp.corpus.stages import tokens_stage
from delt_exp.errors import ConfigError
from delt_exp.ngrams.counts import count_tables, hellinger, log_probabilities
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.rows.draws import drawn
from delt_exp.tokenizer.base import Tokenizer


@settings
class NgramAlignment:
    """How well n-gram counts of the training text fit the evaluation text.

    `cross_entropy`: -sum log p(w | h) / tokens over the evaluation text, negated, in nats per token, where
    p(w | h) = (c(h w) + smoothing p(w | h')) / (c(h) + smoothing), h' is h without its first token and p(w) without any
    context falls back on 1 / V (a hierarchical Dirichlet prior; MacKay and Peto 1995). The interval resamples the
    evaluation documents. `hellinger`: sum sqrt(p q) over n-grams, p and q their shares in the two texts; it grows with
    the size of the texts and has no interval. A document is read after begin tokens, which are not predicted.
    """

    VERSION: ClassVar[int] = 2
    needs: ClassVar[frozenset[str]] = frozenset({"tokens"})
    COMPARED: ClassVar[tuple[str, ...]] = ("measure", "smoothing")
    order: Count
    measure: Literal["cross_entropy", "hellinger"]
    smoothing: PositiveFloat
    max_documents: Count | None
    seed: Seed

    @property
    def meaning(self) -> Meaning:
        kind = "unigram" if self.order == 1 else f"{self.order}-gram"
        if self.measure == "hellinger":
            return Meaning(f"{kind} overlap", "none", "higher", f"How much the {kind} frequencies have in common.")
        explanation = f"How well {kind} counts of the training text predict the evaluation text."
        return Meaning(f"{kind} log-likelihood", "nats/token", "higher", explanation)

    def inputs(self, resources: Resources) -> dict[str, Any]:
        return {"tokenizer": _tokenizer(resources).digest}

    def describer(self, resources: Resources) -> Callable[[Text, Path], Arrays]:
        tokenizer = _tokenizer(resources)

        def describe(text: Text, folder: Path) -> Arrays:
            tokens = tokens_stage(resources.store, text.corpus, tokenizer).tokens
            rows = text.corpus_rows(drawn(text.ids, self.max_documents, self.seed))
            start = np.full(self.order - 1, tokens.begin_id)
            stream = np.concatenate([part for row in rows for part in (start, tokens.document(row))]).astype(np.int64)
            lengths = tokens.lengths[rows]
            kinds = np.stack([np.full_like(lengths, self.order - 1), lengths], axis=1)
            is_predicted = np.repeat(np.tile([False, True], len(rows)), kinds.ravel())
            tables = count_tables(stream, is_predicted, self.order, tokenizer.vocab_size)
            return {"stream": stream, "is_predicted": is_predicted, "lengths": lengths, **tables}

        return describe

    def compare(self, train: Description, evaluation: Description) -> Coefficient:
        if self.measure == "hellinger":
            return Coefficient(hellinger(train.arrays, evaluation.arrays), None, None)
        text = evaluation.arrays
        log_p = log_probabilities(train.arrays, text["stream"], self.smoothing)[text["is_predicted"]]
        lengths = text["lengths"]
        sums = np.add.reduceat(log_p, np.cumsum(lengths) - lengths)
        return ratio(sums, lengths.astype(np.float64), self.seed)


def _tokenizer(resources: Resources) -> Tokenizer:
    if resources.tokenizer is None:
        raise ConfigError("n-gram alignment counts tokens; give a tokenizer")
    return resources.tokenizer
