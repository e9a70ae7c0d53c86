"""Importance weights by hashed n-grams: how much likelier a document is under the target than under the candidates."""

from collections.abc import Iterable
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, PositiveFloat, Several, settings
from delt_exp.corpus.corpus import Corpus
from delt_exp.errors import DataError
from delt_exp.ngrams.hashed import HashedNgrams
from delt_exp.ngrams.linear import linear_numbers
from delt_exp.progress import track
from delt_exp.quantity import Meaning
from delt_exp.scorer.base import Pool
from delt_exp.store.evidence import Evidence


@settings
class DsirScorer:
    """log p(d) - log q(d), where p and q are bags of hashed n-grams of the target and of all candidates.

    Xie et al. 2023, arXiv:2302.03169, section 4: sum over buckets of c_b ln((p_b + smoothing) / (q_b + smoothing)),
    with the counts c of the document and the shares p, q of each of `num_buckets` among the n-grams of 1 .. `max_ngram`
    words. The sum is that of the paper and grows with length; `mean` divides it by the document's n-grams. A document
    without a word has the weight 0. The selector `gumbel_top_k` with temperature 1, not standardised, draws in
    proportion to exp of it, as the paper does; its defaults do not. Raises DataError for a target without a word.
    """

    VERSION: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset({"target"})
    max_ngram: Count
    num_buckets: Several
    smoothing: PositiveFloat
    mean: bool

    @property
    def meaning(self) -> Meaning:
        unit = "nats/n-gram" if self.mean else "nats"
        explanation = "How much likelier the document's words and word pairs are in the target than in the candidates."
        return Meaning("DSIR importance weight", unit, "higher", explanation)

    def score(self, pool: Pool) -> NDArray[np.float32]:
        assert pool.target is not None
        ngrams = HashedNgrams(self.max_ngram, self.num_buckets)
        with pool.evidence.phase("counting"):
            target_B, all_B = (_counts(ngrams, one.corpus) for one in (pool.target, pool.candidates))
        if not target_B.sum():
            raise DataError("no document of the target set has a word; choose another target_dataset")
        p_B, q_B = (counts_B / max(counts_B.sum(), 1) for counts_B in (target_B, all_B))
        weights_B = np.log(p_B + self.smoothing) - np.log(q_B + self.smoothing)
        with pool.evidence.phase("scoring"):
            numbers = linear_numbers(
                pool.resources, pool.candidates.corpus, pool.rows, ngrams, weights_B[None], 0, pool.work_dir
            )
        _show(pool.evidence, weights_B, p_B, q_B)
        return (numbers[:, 0] / np.maximum(numbers[:, 1], 1) if self.mean else numbers[:, 0]).astype(np.float32)


def _counts(ngrams: HashedNgrams, corpus: Corpus) -> NDArray[np.int64]:
    with track("counting n-grams", len(corpus), "documents") as task:

        def texts() -> Iterable[str]:
            for text in corpus.texts():
                yield text
                task.advance()

        return ngrams.counts(texts())


def _show(
    evidence: Evidence, weights_B: NDArray[np.float64], p_B: NDArray[np.float64], q_B: NDArray[np.float64]
) -> None:
    numbers = {
        "divergence of the target from the candidates [nats/n-gram]": float(p_B @ weights_B),
        "share of the target in buckets without a candidate": float(p_B[q_B == 0].sum()),
        "share of the candidates in buckets without a target": float(q_B[p_B == 0].sum()),
    }
    caption = "How far apart the two bags of n-grams are; with a divergence near 0, there is little to choose from."
    evidence.numbers("dsir", numbers, caption)
