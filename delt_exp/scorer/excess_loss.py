"""How much better a model of the target predicts a document than a model of the candidates does."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import settings
from delt_exp.config.keys import moved, naming
from delt_exp.errors import ConfigError
from delt_exp.model.cost import PhaseCost, Sizes
from delt_exp.proxy.base import Proxy, ProxyModel
from delt_exp.quantity import Meaning
from delt_exp.resources import Resources
from delt_exp.scorer.base import Pool
from delt_exp.scorer.parts import part_costs, part_scores
from delt_exp.scorer.perplexity import PerplexityScorer


@settings
class ExcessLossScorer:
    """Mean token loss under `tuned` minus that under `reference`, in nats per token.

    Moore and Lewis 2010 with neural models; with the sign turned, the excess loss of RHO (Mindermann et al. 2022,
    arXiv:2206.07137; Lin et al. 2024, arXiv:2404.07965) for whole documents. What every model finds easy or hard, such
    as boilerplate or noise, cancels. tuned: a model of the target. reference: one of the candidates. Both losses are
    those of `perplexity` and are reused where a run has computed them. Raises ConfigError for models that cut text
    into different tokens, whose losses cannot be compared.
    """

    VERSION: ClassVar[int] = 1
    tuned: Proxy
    reference: Proxy

    @property
    def needs(self) -> frozenset[str]:
        return self.tuned.needs | self.reference.needs | {"tokens"}

    @property
    def meaning(self) -> Meaning:
        explanation = "How much harder a document is for the model of the target than for the reference."
        return Meaning("excess loss", "nats/token", "lower", explanation)

    def score(self, pool: Pool) -> NDArray[np.float32]:
        with pool.evidence.phase("warm start"):
            models = [_prepared(pool, name, one) for name, one in self._proxies]
        tokenizers = [model.tokenizer.digest for model in models]
        if tokenizers[0] != tokenizers[1]:
            raise ConfigError(
                f"scorer.tuned and scorer.reference ({models[0].name}, {models[1].name}) have different tokenizers: "
                "losses per token cannot be compared; use two models of one family, or two that are trained here"
            )
        tuned, reference = (
            part_scores(pool, name, PerplexityScorer(proxy)).astype(np.float64) for name, proxy in self._proxies
        )
        return (tuned - reference).astype(np.float32)

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of both models and of reading the documents with each."""
        parts = ((name, PerplexityScorer(proxy)) for name, proxy in self._proxies)
        return [cost for name, part in parts for cost in part_costs(name, part, sizes, resources)]

    @property
    def _proxies(self) -> tuple[tuple[str, Proxy], tuple[str, Proxy]]:
        return ("tuned", self.tuned), ("reference", self.reference)


def _prepared(pool: Pool, name: str, proxy: Proxy) -> ProxyModel:
    """Return the model of a proxy; its messages name the keys under `scorer.tuned` or `scorer.reference`."""
    with naming(moved(proxy, "proxy", f"scorer.{name}")):
        return proxy.prepare(pool.resources, pool.candidates, pool.target)
