"""How surprising a document is under the token n-gram counts of the target: perplexity without a neural model.

W windows, T positions, K keys.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, PositiveFloat, settings
from delt_exp.corpus.tokens import IGNORED, Tokens
from delt_exp.corpus.windows import WindowBatch, Windowing
from delt_exp.files import digest, written_aside
from delt_exp.mapping.judge import ALL_TOKENS
from delt_exp.mapping.map_documents import map_documents
from delt_exp.ngrams.counts import Arrays, CountModel, count_tables
from delt_exp.quantity import Meaning
from delt_exp.scorer.base import Pool


@settings
class NgramMatchScorer:
    """Mean cross-entropy of a document's tokens under the n-gram counts of the target, in nats per token.

    p(w | h) = (c(h w) + smoothing p(w | h')) / (c(h) + smoothing), where h' is h without its first token and p(w)
    without any context falls back on 1 / V (a hierarchical Dirichlet prior; MacKay and Peto 1995), as in
    `alignment=ngram`. Counts are those of all tokens of the target; of a candidate, prompts are only read.
    """

    VERSION: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset({"target", "tokens"})
    order: Count
    smoothing: PositiveFloat

    @property
    def meaning(self) -> Meaning:
        kind = "unigram" if self.order == 1 else f"{self.order}-gram"
        explanation = f"How surprising the document is under {kind} counts of the target; low where it is like it."
        return Meaning(f"{kind} cross-entropy", "nats/token", "lower", explanation)

    def score(self, pool: Pool) -> NDArray[np.float32]:
        assert pool.target is not None
        tokens, path = pool.candidates.tokens, pool.work_dir / "counts.npz"
        with pool.evidence.phase("counting"):
            tables = self._tables(pool.target.tokens)
            with written_aside(path) as aside, aside.open("wb") as file:
                np.savez(file, allow_pickle=False, **tables)
        judge = CountJudge(str(path), digest(*tables.values()), self.order, self.smoothing, tokens.begin_id)
        with pool.evidence.phase("scoring"):
            sums = map_documents(pool.resources, tokens, pool.rows, judge, pool.work_dir / "shards", "scoring")[:, 0]
        return (sums / tokens.num_predicted[pool.rows]).astype(np.float32)

    def _tables(self, tokens: Tokens) -> Arrays:
        """Return the counts of all documents, each after `order - 1` begin tokens."""
        start = np.full(self.order - 1, tokens.begin_id)
        stream = np.concatenate([part for row in range(len(tokens)) for part in (start, tokens.document(row))])
        kinds = np.stack([np.full_like(tokens.lengths, self.order - 1), tokens.lengths], axis=1)
        is_counted = np.repeat(np.tile([False, True], len(tokens)), kinds.ravel())
        return count_tables(stream.astype(np.int64), is_counted, self.order, int(tokens.meta["vocab_size"]))


@dataclass(frozen=True)
class CountJudge:
    """Says the sum of the losses of a document [nats] under counts in an .npz file; see `NgramMatchScorer`."""

    width: ClassVar[int] = 1
    dtype: ClassVar[str] = "float64"
    windowing: ClassVar[Windowing] = Windowing("text", ALL_TOKENS)
    path: str
    digest: str
    order: int
    smoothing: float
    begin_id: int

    def open(self, device: str) -> Callable[[WindowBatch], NDArray[np.float64]]:
        """Load the counts; the CPU looks them up, whatever the device."""
        with np.load(Path(self.path), allow_pickle=False) as file:
            model = CountModel({name: file[name] for name in file.files}, self.smoothing)
        return lambda batch: self._losses(batch, model)

    def _losses(self, batch: WindowBatch, model: CountModel) -> NDArray[np.float64]:
        is_label_WT = batch.labels_WT != IGNORED
        # The label of a position is the token after it. Where it is ignored the token is the next input; of the last
        # position, if it is ignored, nothing needs the token.
        next_WT: NDArray[Any] = np.where(is_label_WT, batch.labels_WT, np.roll(batch.ids_WT, -1, axis=1))
        start_WC = np.full((len(batch), self.order - 1), self.begin_id, np.int64)
        stream_WT = np.concatenate([start_WC, next_WT], axis=1)
        log_p_WT = model(stream_WT.ravel()).reshape(stream_WT.shape)[:, self.order - 1 :]
        return -np.where(is_label_WT, log_p_WT, 0.0).sum(1)
