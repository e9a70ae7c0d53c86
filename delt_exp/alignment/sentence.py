"""Alignment by sentence embeddings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from delt_exp.alignment.base import Arrays, Coefficient, Description, Text
from delt_exp.alignment.interval import mean_cosine
from delt_exp.config.fields import Seed, Several, settings
from delt_exp.encoder.base import Encoder
from delt_exp.encoder.stage import embeddings_stage
from delt_exp.errors import DataError
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.rows.draws import drawn

LEAST = 2  # documents whose mean has a standard error


@settings
class SentenceAlignment:
    """Cosine of the mean embeddings of the two texts, from at most `max_documents` documents of each.

    encoder: what makes a vector of a document. 1 for a text against itself.
    """

    VERSION: ClassVar[int] = 4
    needs: ClassVar[frozenset[str]] = frozenset()
    COMPARED: ClassVar[tuple[str, ...]] = ()
    encoder: Encoder
    max_documents: Several
    seed: Seed

    @property
    def meaning(self) -> Meaning:
        return Meaning("sentence alignment", "cosine", "higher", "How close documents of the two texts are in meaning.")

    def inputs(self, resources: Resources) -> dict[str, Any]:
        return self.encoder.inputs(resources)

    def check_documents(self, count: int, place: str) -> None:
        if count < LEAST:
            raise DataError(
                f"{place} has {count} document, and the interval of alignment=sentence needs at least {LEAST}; use "
                "more documents, or leave this metric out"
            )

    def describer(self, resources: Resources) -> Callable[[Text, Path], Arrays]:
        def describe(text: Text, folder: Path) -> Arrays:
            rows = text.corpus_rows(drawn(text.ids, self.max_documents, self.seed))
            return {"embeddings": np.asarray(embeddings_stage(resources, self.encoder, text.corpus, rows))}

        return describe

    def compare(self, train: Description, evaluation: Description) -> Coefficient:
        left, right = (side.arrays["embeddings"].astype(np.float64) for side in (train, evaluation))
        if train.key == evaluation.key:
            return Coefficient(1.0, None, None)
        for side in (left, right):
            self.check_documents(len(side), "a text")
        return mean_cosine(left, right, self.seed)
