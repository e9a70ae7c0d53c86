"""Alignment by Task2Vec: what a fixed probe would have to change for one text and for the other.

Sources: Achille et al. (arXiv 1902.03545), Lee et al. (arXiv 2306.13840), Chawla et al. (arXiv 2501.08496).
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.alignment.base import Arrays, Coefficient, Description, Text
from delt_exp.alignment.interval import pair_mean
from delt_exp.alignment.task2vec.distance import plain_cosine, scaled_cosine
from delt_exp.config.fields import Count, NonNegativeFloat, NonNegativeInt, PositiveFloat, Seed, settings
from delt_exp.errors import ConfigError
from delt_exp.progress import track
from delt_exp.proxy.base import Proxy, ProxyModel
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.rows.draws import generator, shuffled_rows, uniform_per_id


@settings
class Task2VecAlignment:
    """E over batches B1, B2 of the two texts of 1 - d(e_B1, e_B2), with e_B the embedding of a batch under the probe.

    context_tokens: of a document. batch_documents: null makes one batch of all documents. num_batches: the documents
    are shuffled and cut, again and again, so that batches share none while there are enough; where they share some
    there is no interval, for its coverage falls with their number. epochs, lr, weight_decay,
    tuning_documents: how the head is tuned on each batch. embeddings: whether the probe's lookup tables count. cosine:
    `scaled` (the paper) or `plain`. compat: repeat the published code. Compare only values of equal settings: the
    embedding is not linear in the size of a batch. A text against itself leaves out a batch with itself, so it stays
    below 1.
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
    compat: bool
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

    def describer(self, resources: Resources) -> Callable[[Text], Arrays]:
        embed = self.embedder(resources)
        probe = embed.probe

        def describe(text: Text) -> Arrays:
            embeddings, batches = [], self._batches(text.ids)
            with track("embedding", len(batches), "batches") as task:
                for number, chosen in enumerate(batches):
                    documents = [np.asarray(ids, np.int64) for ids in probe.tokenizer.encode(text.read(chosen))]
                    embeddings.append(
                        embed(documents, uniform_per_id(text.ids[chosen], self.seed, "labels of a batch", number))
                    )
                    task.advance()
            is_overlapping = np.array(self.num_batches * len(batches[0]) > len(text.ids))
            return {"embeddings": np.stack(embeddings), "is_overlapping": is_overlapping}

        return describe

    def compare(self, train: Description, evaluation: Description) -> Coefficient:
        sides = train.arrays["embeddings"], evaluation.arrays["embeddings"]
        similarity = plain_cosine(*sides) if self.cosine == "plain" else scaled_cosine(*sides, compat=self.compat)
        is_same = train.key == evaluation.key and len(similarity) > 1
        found = pair_mean(similarity, is_same=is_same)
        if any(bool(side.arrays.get("is_overlapping", False)) for side in (train, evaluation)):
            return Coefficient(found.value, None, None, "batches share documents because one text has too few")
        return found

    def embedder(self, resources: Resources) -> "Embedder":
        """Return the function from token ids of a batch to its embedding; raises ConfigError for too long a context."""
        probe = self.probe.prepare(resources)
        if probe.position_limit is not None and self.context_tokens > probe.position_limit:
            raise ConfigError(
                f"alignment.task2vec.context_tokens is {self.context_tokens}, but the probe has {probe.position_limit} "
                f"positions; use alignment.task2vec.context_tokens={probe.position_limit}"
            )
        return Embedder(self, probe, resources)

    def _batches(self, ids: NDArray[np.uint64]) -> list[NDArray[np.intp]]:
        size = len(ids) if self.batch_documents is None else self.batch_documents
        if size > len(ids):
            raise ConfigError(
                f"alignment.task2vec.batch_documents={size} is more than the {len(ids)} documents there are; use "
                f"alignment.task2vec.batch_documents={len(ids)} or fewer, the same for all texts"
            )
        in_a_pass = len(ids) // size
        shuffles = [
            shuffled_rows(ids, self.seed, "batches of an alignment", number)[: in_a_pass * size].reshape(-1, size)
            for number in range(-(-self.num_batches // in_a_pass))
        ]
        return [*np.concatenate(shuffles)[: self.num_batches]]


class Embedder:
    """Embeds batches of documents given as token ids."""

    def __init__(self, alignment: Task2VecAlignment, probe: ProxyModel, resources: Resources) -> None:
        from delt_exp.alignment.task2vec.compat import compat_embedding
        from delt_exp.alignment.task2vec.fisher import FisherSettings, fisher_embedding
        from delt_exp.alignment.task2vec.head import Tuning

        self.probe = probe
        self._network = probe.network.to(resources.runtime.torch_device())
        self._context_tokens = alignment.context_tokens
        self._embed = compat_embedding if alignment.compat else fisher_embedding
        tuning = Tuning(alignment.epochs, alignment.tuning_documents, alignment.lr, alignment.weight_decay)
        in_a_pass = max(1, resources.runtime.tokens_per_pass() // alignment.context_tokens)
        self._settings = FisherSettings(alignment.context_tokens, tuning, alignment.embeddings, in_a_pass)

    def __call__(self, documents: Sequence[NDArray[np.int64]], draws: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the embedding, [filters]; a number in (0, 1) per document decides the labels drawn on it."""
        from delt_exp.alignment.task2vec.fisher import Passage

        generators = [generator(int(draw * 2**53), "labels of a document") for draw in draws]
        uniform = [labels.random(self._context_tokens, np.float32) for labels in generators]
        passages = [Passage(ids[: self._context_tokens], u) for ids, u in zip(documents, uniform, strict=True)]
        ends = self.probe.tokenizer.begin_id, self.probe.tokenizer.eos_id
        return self._embed(self._network, passages, ends, self._settings)
