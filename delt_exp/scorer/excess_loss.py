"""How much better a model of the target predicts a document than a model of the candidates does."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import Count, settings
from delt_exp.config.keys import moved, naming
from delt_exp.errors import ConfigError
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.proxy.base import Proxy, ProxyModel, ReadsAsTheRun
from delt_exp.proxy.trained import FoldedProxy, TrainedProxy
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.rows.draws import fold_of
from delt_exp.scorer.base import Pool
from delt_exp.scorer.parts import part_costs, part_scores
from delt_exp.scorer.perplexity import PerplexityScorer


@settings
class ExcessLossScorer:
    """Mean token loss under `tuned` minus that under `reference`, in nats per token.

    Moore and Lewis 2010 with neural models; with the sign turned, the excess loss of RHO (Mindermann et al. 2022,
    arXiv:2206.07137; Lin et al. 2024, arXiv:2404.07965) for whole documents. What every model finds easy or hard, such
    as boilerplate or noise, cancels. tuned: a model of the target. reference: one of the candidates. A reference that
    is trained here would find what it has read easier than the rest, which would count against it: candidates are dealt
    to `folds` by their ids, and each fold is judged by a reference trained on the others; 1 for a single one. Both
    losses are those of `perplexity`. Raises ConfigError for models that cut text into different tokens, whose losses
    cannot be compared.
    """

    VERSION: ClassVar[int] = 2
    tuned: Proxy
    reference: Proxy
    folds: Count

    @property
    def needs(self) -> frozenset[str]:
        return self.tuned.needs | self.reference.needs | {"tokens"}

    @property
    def meaning(self) -> Meaning:
        explanation = "How much harder a document is for the model of the target than for the reference."
        return Meaning("excess loss", "nats/token", "lower", explanation)

    def score(self, pool: Pool) -> NDArray[np.float32]:
        proxies = {"tuned": (self.tuned, self.tuned), "reference": (self.reference, self._references[0])}
        with pool.evidence.phase("warm start"):
            if len({_tokenizer(pool, name, *proxy) for name, proxy in proxies.items()}) > 1:
                raise ConfigError(
                    "scorer.tuned and scorer.reference have different tokenizers: losses per token cannot be compared; "
                    "use two models of one family, or two that are trained here"
                )
            for name, proxy in proxies.items():
                _prepared(pool, name, *proxy)
        tuned = part_scores(pool, "tuned", PerplexityScorer(self.tuned)).astype(np.float64)
        return (tuned - self._reference_losses(pool)).astype(np.float32)

    def _reference_losses(self, pool: Pool) -> NDArray[np.float64]:
        """Return [R] the loss of each document under the reference that has not read it."""
        if len(self._references) == 1:
            return part_scores(pool, "reference", PerplexityScorer(self.reference)).astype(np.float64)
        assert isinstance(self.reference, TrainedProxy)
        fold_R, loss_R = fold_of(pool.ids, self.folds, self.reference.seed), np.empty(len(pool.rows))
        for fold, proxy in enumerate(self._references):
            if (mine_R := fold_R == fold).any():
                part = replace(pool, chosen=pool.rows[mine_R])
                loss_R[mine_R] = part_scores(part, _named(fold), PerplexityScorer(proxy))
        return loss_R

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of all models and of reading the documents with each, or those of its fold."""
        costs = part_costs("tuned", PerplexityScorer(self.tuned), sizes, resources)
        if len(self._references) == 1:
            return [*costs, *part_costs("reference", PerplexityScorer(self.reference), sizes, resources)]
        for fold, proxy in enumerate(self._references):
            own = replace(sizes, lengths_N=sizes.scored_lengths[fold :: self.folds], num_scored=None)
            costs += part_costs(_named(fold), PerplexityScorer(proxy), own, resources)
        return costs

    @property
    def _references(self) -> list[Proxy]:
        """One for each fold, or a single one where it learns from no candidate."""
        if self.folds == 1 or not isinstance(self.reference, TrainedProxy) or self.reference.train_on == "target":
            return [self.reference]
        return [FoldedProxy(self.reference, self.folds, fold) for fold in range(self.folds)]


def _named(fold: int) -> str:
    return f"reference {fold + 1}"


def _tokenizer(pool: Pool, name: str, keys: Proxy, proxy: Proxy) -> str:
    """Return what identifies the tokenizer of a proxy; trains none that has the run's."""
    if isinstance(proxy, ReadsAsTheRun):
        return pool.resources.run_tokenizer.digest
    return _prepared(pool, name, keys, proxy).tokenizer.digest


def _prepared(pool: Pool, name: str, keys: Proxy, proxy: Proxy) -> ProxyModel:
    """Return the model of a proxy; its messages name those of `keys` under `scorer.tuned` or `scorer.reference`."""
    with naming(moved(keys, "proxy", f"scorer.{name}")):
        return proxy.prepare(pool.resources, pool.candidates, pool.target)
