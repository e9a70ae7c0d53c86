"""The base of scorers that are one judgement of a proxy model.

Who writes one writes what is read, the judgement and its meaning; reading, counting and spreading over processes are
those of `map_documents`.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import settings
from delt_exp.corpus.tokens import Tokens
from delt_exp.corpus.windows import Windowing
from delt_exp.mapping.judge import Judge
from delt_exp.mapping.map_documents import map_documents
from delt_exp.model.cost import FORWARD, PhaseCost, Sizes
from delt_exp.proxy.base import Proxy, ProxyModel, check_before, known_limit
from delt_exp.resources import Resources
from delt_exp.scorer.base import Pool


@settings
class JudgedScorer(ABC):
    """Scores documents by what a judge says of them under `proxy`.

    FLOPS: per parameter and token, of a forward pass unless the judgement needs more (see `delt_exp.model.cost`).
    """

    FLOPS: ClassVar[int] = FORWARD
    proxy: Proxy

    @property
    def needs(self) -> frozenset[str]:
        return self.proxy.needs | {"tokens"}

    @abstractmethod
    def windowing(self, context_tokens: int) -> Windowing:
        """Return what of a document is read; context_tokens: of the proxy."""

    @abstractmethod
    def judge(self, proxy: ProxyModel) -> Judge:
        """Return the judge whose numbers become scores; it reads by `windowing(proxy.context_tokens)`."""

    def scores(self, numbers_RK: NDArray[Any], tokens: Tokens, rows: NDArray[np.intp]) -> NDArray[Any]:
        """Return the scores [R] of the documents `rows` from the judge's numbers: here the first number of each."""
        return numbers_RK[:, 0]

    def score(self, pool: Pool) -> NDArray[np.float32]:
        """Return scores [R]; a killed call continues shard by shard.

        Raises ConfigError for windows longer than the proxy has positions.
        """
        if limit := known_limit(self.proxy, pool.resources):
            check_before(self.proxy, pool.resources, self.windowing(limit).context_tokens, "scorer.context_tokens")
        with pool.evidence.phase("warm start"):
            proxy = self.proxy.prepare(pool.resources, pool.candidates, pool.target)
        proxy.check_context(self.windowing(proxy.context_tokens).context_tokens, "scorer.context_tokens")
        tokens = proxy.tokens(pool.candidates, pool.resources)
        rows, shards = pool.rows, pool.work_dir / "shards"
        with pool.evidence.phase("scoring"):
            numbers_RK = map_documents(pool.resources, tokens, rows, self.judge(proxy), shards, "scoring")
        return self.scores(numbers_RK, tokens, rows).astype(np.float32)

    def forecast(self, sizes: Sizes, resources: Resources) -> list[PhaseCost]:
        """Return the cost of the proxy and of the judgement, from the sizes of the documents."""
        per_pass = resources.runtime.tokens_per_pass()
        windowing = self.windowing(per_pass)  # no window is larger than a pass
        size = self.proxy.size(sizes, resources, windowing.context_tokens)
        num_tokens = int(windowing.sizes(sizes.scored_lengths).sum())
        is_forward = self.FLOPS == FORWARD
        per_token = size.reading_bytes_per_token if is_forward else size.activation_bytes_per_token
        held = size.parameter_bytes + per_pass * per_token
        flops = float(self.FLOPS) * size.parameters * num_tokens
        return [*self.proxy.forecast(sizes, resources), PhaseCost("scoring", len(sizes.scored_lengths), flops, held)]
