"""A linear classifier of hashed n-grams that tells the target from the candidates.

N documents of the training set, B buckets, F folds.
"""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, PositiveFloat, Seed, Several, settings
from delt_exp.corpus.corpus import Corpus
from delt_exp.errors import DataError
from delt_exp.ngrams.hashed import HashedNgrams, chunks
from delt_exp.ngrams.linear import linear_numbers, ngram_shares
from delt_exp.quantity import Meaning
from delt_exp.rows.draws import fold_of, random_rows
from delt_exp.scorer.base import Pool
from delt_exp.statistics.diagnostics import auc
from delt_exp.store.evidence import Evidence

Floats = NDArray[np.float64]


@settings
class NgramClassifierScorer:
    """Log odds that a document is of the target and not of the candidates, which count as equally likely beforehand.

    Logistic regression on the share of each hashed n-gram in the document: the model of fastText with the vectors of
    words multiplied out, as DCLM filters by it (Li et al. 2024, arXiv:2406.11794). It learns from `max_documents` of
    either side at most, by minimising mean loss + penalty/2 |w|^2. Candidates and target are dealt to `folds` by their
    ids, and each fold is judged by a model of the others: no document is judged by a model that has seen its text.
    The AUC of these judgements is in the evidence. Raises DataError where a side has no document outside some fold.
    """

    VERSION: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset({"target"})
    max_ngram: Count
    num_buckets: Several
    max_documents: Several
    folds: Several
    penalty: PositiveFloat
    max_iterations: Count
    seed: Seed

    @property
    def meaning(self) -> Meaning:
        explanation = "How sure a linear classifier of words and word pairs is that the document is of the target."
        return Meaning("target log odds", "nats", "higher", explanation)

    def score(self, pool: Pool) -> NDArray[np.float32]:
        assert pool.target is not None
        ngrams = HashedNgrams(self.max_ngram, self.num_buckets)
        with pool.evidence.phase("fitting"):
            examples = _Examples(ngrams, self._sides(pool), self.folds, self.seed)
            fitted = [self._fit(examples, fold, pool.evidence) for fold in range(self.folds)]
        self._show(pool, examples, fitted)
        weights_FB = np.array([weights for weights, _ in fitted])
        with pool.evidence.phase("scoring"):
            numbers = linear_numbers(
                pool.resources, pool.candidates.corpus, pool.rows, ngrams, weights_FB, self.seed, pool.work_dir
            )
        biases_F = np.array([bias for _, bias in fitted])
        means = numbers[:, 0] / np.maximum(numbers[:, 1], 1)
        return (means + biases_F[fold_of(pool.ids, self.folds, self.seed)]).astype(np.float32)

    def _sides(self, pool: Pool) -> list[tuple[Corpus, NDArray[np.intp]]]:
        """Return the training documents: those of the candidates, and those of the target."""
        assert pool.target is not None
        corpora = (pool.candidates.corpus, pool.target.corpus)
        return [
            (one, random_rows(one.ids, self.max_documents, self.seed, "training documents of the n-gram classifier"))
            for one in corpora
        ]

    def _fit(self, examples: "_Examples", fold: int, evidence: Evidence) -> tuple[Floats, float]:
        """Return weights [B] and bias, learnt outside `fold`; both sides weigh the same."""
        from scipy.optimize import minimize

        train_N = np.flatnonzero(examples.fold_N != fold)
        x, y = examples.shares[train_N], examples.is_target_N[train_N]
        share_N = np.where(y, 0.5 / max(y.sum(), 1), 0.5 / max((~y).sum(), 1))
        sign_N = np.where(y, 1.0, -1.0)

        def loss(parameters: Floats) -> tuple[float, Floats]:
            weights, bias = parameters[:-1], parameters[-1]
            margin_N = sign_N * (x @ weights + bias)
            # d ln(1 + exp(-m)) / dm = -1 / (1 + exp(m)), by tanh so that no exp overflows.
            slope_N = -share_N * sign_N * 0.5 * (1 - np.tanh(margin_N / 2))
            value = share_N @ np.logaddexp(0, -margin_N) + 0.5 * self.penalty * weights @ weights
            return float(value), np.append(x.T @ slope_N + self.penalty * weights, slope_N.sum())

        start = np.zeros(examples.shares.shape[1] + 1)
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": self.max_iterations})
        if not found.success:
            evidence.remark(f"The fit of fold {fold} stopped before its minimum: {found.message}.")
        return found.x[:-1], float(found.x[-1])

    def _show(self, pool: Pool, examples: "_Examples", fitted: list[tuple[Floats, float]]) -> None:
        """Leave the AUC of every training document under the model of the other folds."""
        odds_N = np.zeros(len(examples.fold_N))
        for fold, (weights, bias) in enumerate(fitted):
            own = examples.fold_N == fold
            odds_N[own] = examples.shares[own] @ weights + bias
        numbers = {
            "held-out AUC": auc(odds_N, examples.is_target_N),
            "target documents": int(examples.is_target_N.sum()),
            "candidates": int((~examples.is_target_N).sum()),
        }
        caption = "Held out, how often a target document gets a higher number than a candidate; 0.5 is chance."
        pool.evidence.numbers("ngram_classifier", numbers, caption)
        # A fifth of candidates unlike the target, beside four fifths like it, already reaches 0.6.
        if numbers["held-out AUC"] < 0.6:
            pool.evidence.remark(
                f"The n-gram classifier cannot tell most candidates from the target (held-out AUC "
                f"{numbers['held-out AUC']:.2f}): they are of its kind, or differ in other things than words."
            )


class _Examples:
    """The training documents of both sides. shares: sparse [N, B]; is_target_N, fold_N: of each document."""

    def __init__(
        self, ngrams: HashedNgrams, sides: list[tuple[Corpus, NDArray[np.intp]]], num_folds: int, seed: int
    ) -> None:
        from scipy.sparse import vstack

        ids = [np.asarray(corpus.ids[rows]) for corpus, rows in sides]
        self.fold_N = fold_of(np.concatenate(ids), num_folds, seed)
        self.is_target_N = np.repeat([False, True], [len(one) for one in ids])
        self._check(num_folds)
        parts = [ngram_shares(ngrams, chunk) for corpus, rows in sides for chunk in chunks(corpus.texts(rows))]
        self.shares: Any = vstack(parts, format="csr")

    def _check(self, num_folds: int) -> None:
        for name, side in (("candidates", ~self.is_target_N), ("target set", self.is_target_N)):
            folds = np.unique(self.fold_N[side])
            if len(folds) < 2:
                raise DataError(
                    f"the {side.sum()} documents of the {name} are all in one of {num_folds} folds, so that its model "
                    "would have none to learn from; give more different documents, or another seed"
                )
