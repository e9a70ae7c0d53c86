"""Alignment by Task2Vec: what a fixed probe would have to change for one text and for the other.

Sources: Achille et al. (arXiv 1902.03545), Lee et al. (arXiv 2306.13840), Chawla et al. (arXiv 2501.08496).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.alignment.base import Arrays, Coefficient, Description, Text
from delt_exp.alignment.interval import pair_mean
from delt_exp.alignment.task2vec.batches import BatchItems, FisherJudge, TextBatches
from delt_exp.alignment.task2vec.distance import plain_cosine, scaled_cosine
from delt_exp.config.fields import Count, NonNegativeFloat, NonNegativeInt, PositiveFloat, Seed, settings
from delt_exp.errors import ConfigError
from delt_exp.mapping.map_documents import map_items
from delt_exp.proxy.base import Proxy
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.rows.draws import shuffled_rows


@settings
class Task2VecAlignment:
    """E over batches B1, B2 of the two texts of 1 - d(e_B1, e_B2), with e_B the embedding of a batch under the probe.

    context_tokens: of a document. batch_documents: null makes one batch of all documents. num_batches: the documents
    are shuffled and cut, again and again, so that batches share none while there are enough; where they share some
    there is no interval, for its coverage falls with their number. epochs, lr, weight_decay,
    tuning_documents: how the head is tuned on each batch. embeddings: whether the probe's lookup tables count. cosine:
    `scaled` (the paper) or `plain`. Compare only values of equal settings: the embedding is not linear in the size of a
    batch. A text against itself leaves out a batch with itself, so it stays below 1.
    """

    VERSION: ClassVar[int] = 2
    needs: ClassVar[frozenset[str]] = frozenset()
    COMPARED: ClassVar[tuple[str, ...]] = ("cosine",)
    probe: Proxy
    context_tokens: Count
    batch_documents: Count | None
    num_batches: Count
    epochs: NonNegativeInt
    tuning_documents: Count
    lr: PositiveFloat
    weight_decay: NonNegativeFloat
    embeddings: bool
    cosine: Literal["scaled", "plain"]
    seed: Seed

    def __post_init__(self) -> None:
        if self.batch_documents is None and self.num_batches != 1:
            raise ConfigError(
                f"alignment.task2vec.batch_documents=null is one batch of all documents; got num_batches="
                f"{self.num_batches}, use alignment.task2vec.num_batches=1"
            )

    @property
    def meaning(self) -> Meaning:
        return Meaning(
            "Task2Vec alignment", "cosine", "higher", "How alike the two texts use the weights of a probe model."
        )

    def inputs(self, resources: Resources) -> dict[str, Any]:
        return self.probe.inputs(resources)

    def describer(self, resources: Resources) -> Callable[[Text, Path], Arrays]:
        judge = self.judge(resources)

        def describe(text: Text, folder: Path) -> Arrays:
            rows = text.corpus_rows(self._batches(text.ids))
            items = BatchItems(TextBatches(text.corpus, rows, self.seed), judge)
            is_overlapping = np.array(rows.size > len(text.ids))
            return {
                "embeddings": map_items(resources, items, folder, "embedding", None),
                "is_overlapping": is_overlapping,
            }

        return describe

    def compare(self, train: Description, evaluation: Description) -> Coefficient:
        sides = train.arrays["embeddings"], evaluation.arrays["embeddings"]
        similarity = plain_cosine(*sides) if self.cosine == "plain" else scaled_cosine(*sides)
        is_same = train.key == evaluation.key and len(similarity) > 1
        found = pair_mean(similarity, is_same=is_same)
        if any(bool(side.arrays.get("is_overlapping", False)) for side in (train, evaluation)):
            return Coefficient(found.value, None, None, "batches share documents because one text has too few")
        return found

    def judge(self, resources: Resources) -> FisherJudge:
        """Return what embeds a batch; raises ConfigError for too long a context, and for a probe without a head."""
        from delt_exp.alignment.task2vec.fisher import embedding_width

        probe = self.probe.prepare(resources)
        if probe.position_limit is not None and self.context_tokens > probe.position_limit:
            raise ConfigError(
                f"alignment.task2vec.context_tokens is {self.context_tokens}, but the probe has {probe.position_limit} "
                f"positions; use alignment.task2vec.context_tokens={probe.position_limit}"
            )
        return FisherJudge(
            probe.name, probe.revision, probe.tokenizer.folder,
            embedding_width(probe.name, probe.revision, embeddings=self.embeddings), self.context_tokens, self.epochs,
            self.tuning_documents, self.lr, self.weight_decay, self.embeddings,
        )  # fmt: skip

    def check_documents(self, count: int, place: str) -> None:
        if self.batch_documents is not None and self.batch_documents > count:
            raise ConfigError(
                f"alignment.task2vec.batch_documents={self.batch_documents} is more than the {count} documents of "
                f"{place}; use alignment.task2vec.batch_documents={count} or fewer, the same for all texts"
            )

    def _batches(self, ids: NDArray[np.uint64]) -> NDArray[np.intp]:
        """Return [M, S] which documents belong to each batch."""
        self.check_documents(len(ids), "a text")
        size = len(ids) if self.batch_documents is None else self.batch_documents
        in_a_pass = len(ids) // size
        shuffles = [
            shuffled_rows(ids, self.seed, "batches of an alignment", number)[: in_a_pass * size].reshape(-1, size)
            for number in range(-(-self.num_batches // in_a_pass))
        ]
        return np.concatenate(shuffles)[: self.num_batches]
