"""How close a document is in meaning to the documents of the target, after BETR.

M target documents, D numbers of a vector, R documents to score, B of a block.
"""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, Seed, settings
from delt_exp.corpus.tokens import TokenizedCorpus
from delt_exp.encoder.base import Encoder
from delt_exp.encoder.stage import check_vectors, embeddings_stage
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.rows.draws import target_rows
from delt_exp.scorer.base import Pool

# In memory at once: vectors, and their similarities to all target documents.
BLOCK_DOCUMENTS, BLOCK_SIMILARITIES = 4096, 1 << 24


@settings
class EmbeddingMatchScorer:
    """Cosine of a document's embedding with those of the target documents: their `mean`, or the `max` over them.

    Mizrahi et al. 2025 (BETR), arXiv:2507.12466, with similarities in place of their ranks. encoder: what makes a
    vector of a document. num_target: so many random target documents; null for all.
    Raises ConfigError for more than there are, DataError for an embedding without a direction.
    """

    VERSION: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset({"target"})
    encoder: Encoder
    aggregate: Literal["mean", "max"]
    num_target: Count | None
    seed: Seed

    @property
    def meaning(self) -> Meaning:
        which = "the most similar" if self.aggregate == "max" else "the average"
        explanation = f"How close the document is in meaning to {which} document of the target."
        return Meaning(f"{self.aggregate} similarity to the target", "cosine", "higher", explanation)

    def score(self, pool: Pool) -> NDArray[np.float32]:
        assert pool.target is not None
        chosen = target_rows(
            pool.target.corpus.ids, self.num_target, self.seed, "target documents of embedding match",
            "scorer.num_target",
        )  # fmt: skip
        with pool.evidence.phase("encoding"):
            target_MD = self._vectors(pool, pool.target, chosen)
            vectors_RD = self._vectors(pool, pool.candidates, pool.rows)
        return similarities(vectors_RD, _unit(target_MD), self.aggregate)

    def _vectors(self, pool: Pool, text: TokenizedCorpus, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the vectors of the documents `rows`, each of which has a direction."""
        found = embeddings_stage(pool.resources, self.encoder, text.corpus, rows)
        check_vectors(found, text.corpus.ids, rows)
        return found

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of encoding candidates and target, whose documents count as long as the candidates."""
        num_target = min(self.num_target or sizes.num_target, sizes.num_target)
        return self.encoder.forecast(sizes.with_documents(num_target), resources)


def similarities(
    vectors_RD: NDArray[np.float32], target_MD: NDArray[np.float64], aggregate: Literal["mean", "max"]
) -> NDArray[np.float32]:
    """Return [R] the mean or the largest cosine of each vector with the unit vectors of the target, in blocks."""
    scores_R, mean_D = np.empty(len(vectors_RD), np.float32), target_MD.mean(0)
    step = max(1, min(BLOCK_DOCUMENTS, BLOCK_SIMILARITIES // len(target_MD)))
    for start in range(0, len(vectors_RD), step):
        block_BD = _unit(vectors_RD[start : start + step])
        values_B = block_BD @ mean_D if aggregate == "mean" else (block_BD @ target_MD.T).max(1)
        scores_R[start : start + step] = values_B
    return scores_R


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return vectors of length 1 in double precision; those of encoders are it up to rounding."""
    exact = np.asarray(vectors, np.float64)
    return exact / np.linalg.norm(exact, axis=1, keepdims=True)
