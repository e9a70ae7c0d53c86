"""How close a document is in meaning to the documents of the target, after BETR.

M target documents, D numbers of a vector, R documents to score.
"""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, Seed, settings
from delt_exp.encoder.base import Encoder
from delt_exp.encoder.stage import embeddings_stage
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.rows.draws import target_rows
from delt_exp.scorer.base import Pool

BLOCK_DOCUMENTS = 4096  # times the target documents: similarities in memory at once


@settings
class EmbeddingMatchScorer:
    """Cosine of a document's embedding with those of the target documents: their `mean`, or the `max` over them.

    Mizrahi et al. 2025 (BETR), arXiv:2507.12466, with similarities in place of their ranks. encoder: what makes a
    vector of a document. num_target: so many random target documents; null for all.
    Raises ConfigError for more than there are.
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
            target_MD = _unit(embeddings_stage(pool.resources, self.encoder, pool.target.corpus, chosen))
            vectors_RD = embeddings_stage(pool.resources, self.encoder, pool.candidates.corpus, pool.rows)
        scores_R = np.empty(len(vectors_RD), np.float32)
        for start in range(0, len(vectors_RD), BLOCK_DOCUMENTS):
            block_D = _unit(vectors_RD[start : start + BLOCK_DOCUMENTS])
            is_mean = self.aggregate == "mean"
            values = block_D @ target_MD.mean(0) if is_mean else (block_D @ target_MD.T).max(1)
            scores_R[start : start + BLOCK_DOCUMENTS] = values
        return scores_R

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of encoding candidates and target, whose documents count as long as the candidates."""
        num_target = min(self.num_target or sizes.num_target, sizes.num_target)
        return self.encoder.forecast(sizes.with_documents(num_target), resources)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return vectors of length 1 in double precision; those of encoders are it up to rounding."""
    exact = np.asarray(vectors, np.float64)
    return exact / np.linalg.norm(exact, axis=1, keepdims=True)
