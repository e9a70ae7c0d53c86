"""Norm of a document's gradient under a proxy model."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.checks import check_integer
from delt_exp.model.cost import FORWARD_BACKWARD, PhaseCost
from delt_exp.proxy.base import Proxy
from delt_exp.quantity import Meaning
from delt_exp.scorer.base import Pool


@dataclass(frozen=True)
class GradnormScorer:
    """||grad of the mean token loss|| of each document, from its beginning up to `context_tokens` predictions.

    A cheap relative of GraNd (Paul et al. 2021, arXiv 2107.07075) at one state of one model. Small is better: what a
    model cannot make sense of pulls hardest on it.
    """

    VERSION: ClassVar[int] = 2
    proxy: Proxy
    context_tokens: int

    def __post_init__(self) -> None:
        check_integer("scorer.context_tokens", self.context_tokens, at_least=1)

    @property
    def needs(self) -> frozenset[str]:
        return self.proxy.needs | {"tokens"}

    @property
    def meaning(self) -> Meaning:
        return Meaning(
            "gradient norm", "nats", "lower", "How hard a document pulls on the parameters of the proxy model."
        )

    def score(self, pool: Pool) -> NDArray[np.float32]:
        import torch

        from delt_exp.gradients.kernel import per_sample_norms
        from delt_exp.progress import track
        from delt_exp.scorer.lqs.documents import document_samples
        from delt_exp.scorer.lqs.samples import micro_batches

        runtime = pool.resources.runtime
        proxy = self.proxy.prepare(pool.resources, pool.candidates, pool.target)
        tokens = proxy.tokens(pool.candidates, pool.resources)
        device = torch.device(runtime.torch_device())
        network, size = proxy.network.to(device), max(1, runtime.tokens_per_pass() // self.context_tokens)
        longest_first = np.argsort(-tokens.lengths[pool.rows], kind="stable")
        norms = np.zeros(len(longest_first), np.float32)
        with track("scoring", len(norms), "documents") as task:
            for start in range(0, len(norms), size):
                chosen = longest_first[start : start + size]
                samples = document_samples(tokens, pool.rows[chosen], self.context_tokens)
                ((_, batch),) = micro_batches(samples, range(len(samples)), size, device)
                norms[chosen] = per_sample_norms(network, batch).cpu().numpy()
                task.advance(len(chosen))
        return norms

    def forecast(self, pool: Pool) -> list[PhaseCost]:
        """Return the cost of the proxy and of one forward and backward pass over the beginning of every document."""
        size = self.proxy.size(pool.resources, self.context_tokens)
        per_pass = pool.resources.runtime.tokens_per_pass()
        num_tokens = int(np.minimum(pool.candidates.tokens.lengths[pool.rows] + 1, self.context_tokens).sum())
        held = size.parameter_bytes + per_pass * size.activation_bytes_per_token
        flops = float(FORWARD_BACKWARD) * size.parameters * num_tokens
        return [*self.proxy.forecast(pool.resources), PhaseCost("scoring", len(pool.rows), flops, held)]
