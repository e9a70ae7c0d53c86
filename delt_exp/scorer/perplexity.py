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
    READS_TOKENS: ClassVar[bool] = True
    proxy: Proxy

    @property
    def READS_TARGET(self) -> bool:  # noqa: N802 - a constant of the other scorers
        return self.proxy.READS_TARGET

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
        losses = token_loss(proxy.network, tokens, proxy.context_tokens, resources.runtime, "scoring")
        return losses.mean_nats.astype(np.float32)

    def forecast(self, pool: Pool) -> list[PhaseCost]:
        """Return the cost of the proxy and of reading every candidate once."""
        per_pass = pool.resources.runtime.tokens_per_pass()
        size, num_tokens = self.proxy.size(pool.resources, per_pass), int(pool.candidates.tokens.lengths.sum())
        return [
            *self.proxy.forecast(pool.resources),
            forward_cost("scoring", size, len(pool.candidates), num_tokens, per_pass),
        ]
