"""Linear scores of hashed n-grams, by one model or by the one of several that a document was held out from.

D documents of a batch, R documents to score, G n-grams, B buckets, F models.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.corpus import Corpus
from delt_exp.files import digest, written_aside
from delt_exp.mapping.judge import BRIEF, TextBatch
from delt_exp.mapping.map_documents import map_texts
from delt_exp.ngrams.hashed import HashedNgrams, chunks
from delt_exp.resources import Resources
from delt_exp.rows.draws import fold_of


@dataclass(frozen=True)
class LinearJudge:
    """Says two numbers of a document: the sum of the weights of its n-grams, and how many n-grams it has.

    path: a .npy file of weights [F, B]; digest: of its content. Document i is read by model `fold_of(ids, F, seed)[i]`.
    """

    width: ClassVar[int] = 2
    dtype: ClassVar[str] = "float64"
    context_tokens: ClassVar[int] = BRIEF
    ngrams: HashedNgrams
    path: str
    digest: str
    seed: int

    def open(self, device: str) -> Callable[[TextBatch], NDArray[np.float64]]:
        """Load the weights; the CPU adds them up, whatever the device."""
        weights_FB = np.load(self.path, allow_pickle=False)

        def judge(batch: TextBatch) -> NDArray[np.float64]:
            fold_D, start, numbers = fold_of(batch.ids, len(weights_FB), self.seed), 0, []
            for chunk in chunks(batch.texts):
                bucket_G, document_G = self.ngrams.of(chunk)
                fold_G = fold_D[start : start + len(chunk)][document_G]
                sums_D = np.bincount(document_G, weights_FB[fold_G, bucket_G], len(chunk))
                numbers.append(np.stack([sums_D, np.bincount(document_G, minlength=len(chunk))], axis=1))
                start += len(chunk)
            return np.concatenate(numbers)

        return judge


def linear_numbers(
    resources: Resources, corpus: Corpus, rows: NDArray[np.intp], ngrams: HashedNgrams, weights_FB: NDArray[np.float64],
    seed: int, work_dir: Path,
) -> NDArray[np.float64]:  # fmt: skip
    """Return [R, 2] of documents, see `LinearJudge`; a killed call continues in `work_dir`."""
    path = work_dir / "weights.npy"
    with written_aside(path) as aside, aside.open("wb") as file:
        np.save(file, weights_FB)
    judge = LinearJudge(ngrams, str(path), digest(weights_FB), seed)
    return map_texts(resources, corpus, rows, judge, work_dir / "shards", "scoring")


def ngram_shares(ngrams: HashedNgrams, texts: list[str]) -> Any:
    """Return [D, B] the share of each bucket among the n-grams of a document, sparse; 0 for one without a word."""
    from scipy.sparse import csr_array

    bucket_G, document_G = ngrams.of(texts)
    share_G = (1 / np.maximum(np.bincount(document_G, minlength=len(texts)), 1))[document_G]
    return csr_array((share_G, (document_G, bucket_G.astype(np.int32))), shape=(len(texts), ngrams.num_buckets))
