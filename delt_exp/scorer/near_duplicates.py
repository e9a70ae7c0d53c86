"""How often a document occurs, nearly, among the candidates."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import settings
from delt_exp.ngrams.deduplicated import near_duplicate_clusters
from delt_exp.ngrams.minhash import MinHash
from delt_exp.quantity import Meaning
from delt_exp.scorer.base import Pool
from delt_exp.store.evidence import Evidence, Figure


@settings
class NearDuplicatesScorer:
    """How many other candidates are in the document's cluster of near-duplicates; 0 for most.

    minhash: what makes two documents near-duplicates, and clusters of them. All documents of a cluster have the same
    number: to keep one of each, run with `drop_near_duplicates=true`.
    """

    VERSION: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset()
    minhash: MinHash

    @property
    def meaning(self) -> Meaning:
        explanation = "How many other documents share so many word n-grams with it that they are nearly the same."
        return Meaning("near-duplicates", "documents", "lower", explanation)

    def score(self, pool: Pool) -> NDArray[np.float32]:
        corpus, shards = pool.candidates.corpus, pool.work_dir / "shards"
        with pool.evidence.phase("hashing"):
            first_N = near_duplicate_clusters(pool.resources, corpus, self.minhash, shards)
        sizes_N = np.bincount(first_N, minlength=len(first_N))
        _show(pool.evidence, sizes_N)
        return (sizes_N[first_N] - 1)[pool.rows].astype(np.float32)


def _show(evidence: Evidence, sizes_N: NDArray[np.intp]) -> None:
    """Leave how many clusters of each size there are; sizes_N: of the cluster that begins at each row, 0 for none."""
    sizes, counts = np.unique(sizes_N[sizes_N > 0], return_counts=True)
    several, total = int((sizes_N > 1).sum()), int(sizes_N.sum())
    in_several = int(sizes_N[sizes_N > 1].sum())
    clusters = f"{several:,} {'cluster' if several == 1 else 'clusters'} of at most {int(sizes.max()):,}"
    evidence.remark(
        f"{in_several:,} of {total:,} documents have near-duplicates, in {clusters}; drop_near_duplicates=true would "
        f"leave out {in_several - several:,}."
        if several
        else f"None of {total:,} documents has a near-duplicate."
    )
    caption = "How many clusters of near-duplicates have each size; size 1 is a document like no other."
    evidence.table("clusters", {"size": sizes.astype(str), "clusters": counts}, caption)
    figure = Figure("Clusters of near-duplicates", "clusters", "bars", "size", ("clusters",), "documents", "clusters")
    evidence.figure("clusters", figure, caption)
