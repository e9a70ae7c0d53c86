"""The base of scorers that are one judgement of a proxy model.

Who writes one writes what is read, the judgement and its meaning; reading, counting and spreading over processes are
those of `map_documents`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.tokens import Tokens
from delt_exp.corpus.windows import Windowing
from delt_exp.mapping.judge import Judge
from delt_exp.mapping.map_documents import map_documents
from delt_exp.model.cost import FORWARD, PhaseCost
from delt_exp.proxy.base import Proxy, ProxyModel
from delt_exp.scorer.base import Pool


@dataclass(frozen=True)
class JudgedScorer(ABC):
    """Scores every candidate by what a judge says of it under `proxy`.

    FLOPS: per parameter and token, of a forward pass unless the judgement needs more (see `delt_exp.model.cost`).
    """

    READS_TOKENS: ClassVar[bool] = True
    FLOPS: ClassVar[int] = FORWARD
    proxy: Proxy

    @property
    def READS_TARGET(self) -> bool:  # noqa: N802 - a constant of scorers without a proxy
        return self.proxy.READS_TARGET

    @abstractmethod
    def windowing(self, context_tokens: int) -> Windowing:
        """Return what of a document is read; context_tokens: of the proxy."""

    @abstractmethod
    def judge(self, proxy: ProxyModel) -> Judge:
        """Return what says the numbers of a document; it reads by `windowing(proxy.context_tokens)`."""

    def scores(self, numbers_NK: NDArray[Any], tokens: Tokens) -> NDArray[Any]:
        """Return the scores [N] that the numbers of the judge mean: the first of them."""
        return numbers_NK[:, 0]

    def score(self, pool: Pool) -> NDArray[np.float32]:
        """Return scores [N]; a killed call continues shard by shard."""
        proxy = self.proxy.prepare(pool.resources, pool.candidates, pool.target)
        tokens = proxy.tokens(pool.candidates, pool.resources)
        rows, shards = np.arange(len(tokens)), pool.work_dir / "shards"
        numbers_NK = map_documents(pool.resources, tokens, rows, self.judge(proxy), shards, "scoring")
        return self.scores(numbers_NK, tokens).astype(np.float32)

    def forecast(self, pool: Pool) -> list[PhaseCost]:
        """Return the cost of the proxy and of the judgement, from the sizes of the candidates."""
        per_pass, tokens = pool.resources.runtime.tokens_per_pass(), pool.candidates.tokens
        windowing = self.windowing(per_pass)  # no window is larger than a pass
        size = self.proxy.size(pool.resources, windowing.context_tokens)
        num_tokens = int(windowing.sizes(tokens, np.arange(len(tokens))).sum())
        held = size.parameter_bytes + per_pass * size.activation_bytes_per_token
        flops = float(self.FLOPS) * size.parameters * num_tokens
        return [*self.proxy.forecast(pool.resources), PhaseCost("scoring", len(tokens), flops, held)]
