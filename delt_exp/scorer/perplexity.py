"""Mean token loss of a document under a proxy language model."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.model.cost import PhaseCost, forward_cost
from delt_exp.proxy.base import Proxy
from delt_exp.quantity import Meaning
from delt_exp.scorer.base import Pool


@dataclass(frozen=True)
class PerplexityScorer:
    """Scores the mean cross-entropy of the text given its prompt, in nats per token; exp of it is the perplexity."""

    VERSION: ClassVar[int] = 1
    proxy: Proxy

    @property
    def needs(self) -> frozenset[str]:
        return self.proxy.needs | {"tokens"}

    @property
    def meaning(self) -> Meaning:
        return Meaning(
            "mean token loss",
            "nats/token",
            "lower",
            "How surprising a document is to the proxy model, token by token; exp of it is the perplexity.",
        )

    def score(self, pool: Pool) -> NDArray[np.float32]:
        from delt_exp.model.token_loss import token_loss

        resources = pool.resources
        proxy = self.proxy.prepare(resources, pool.candidates, pool.target)
        tokens = proxy.tokens(pool.candidates, resources)
        losses = token_loss(proxy.network, tokens, proxy.context_tokens, resources.runtime, "scoring", pool.rows)
        return losses.mean_nats.astype(np.float32)

    def forecast(self, pool: Pool) -> list[PhaseCost]:
        """Return the cost of the proxy and of reading every document once."""
        per_pass, lengths = pool.resources.runtime.tokens_per_pass(), pool.candidates.tokens.lengths[pool.rows]
        size = self.proxy.size(pool.resources, per_pass)
        scoring = forward_cost("scoring", size, len(lengths), int(lengths.sum()), per_pass)
        return [*self.proxy.forecast(pool.resources), scoring]
