"""Mean token loss of a document under a proxy language model."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import settings
from delt_exp.corpus.tokens import Tokens
from delt_exp.corpus.windows import Windowing
from delt_exp.model.token_loss import TokenLossJudge
from delt_exp.proxy.base import ProxyModel
from delt_exp.quantity import Meaning
from delt_exp.scorer.judged import JudgedScorer


@settings
class PerplexityScorer(JudgedScorer):
    """Scores the mean cross-entropy of the text given its prompt, in nats per token; exp of it is the perplexity."""

    VERSION: ClassVar[int] = 1

    @property
    def meaning(self) -> Meaning:
        return Meaning(
            "mean token loss",
            "nats/token",
            "lower",
            "How surprising a document is to the proxy model, token by token; exp of it is the perplexity.",
        )

    def windowing(self, context_tokens: int) -> Windowing:
        return Windowing(TokenLossJudge.READS, context_tokens)

    def judge(self, proxy: ProxyModel) -> TokenLossJudge:
        return TokenLossJudge(proxy.name, proxy.revision, proxy.context_tokens)

    def scores(self, numbers_RK: NDArray[Any], tokens: Tokens, rows: NDArray[np.intp]) -> NDArray[Any]:
        return numbers_RK[:, 0] / tokens.num_predicted[rows]
