"""Weights from the losses of the batch itself."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from delt_exp.config.fields import PositiveFloat, settings
from delt_exp.corpus.tokens import Tokens
from delt_exp.distributed.ranks import Ranks
from delt_exp.model.cost import ModelSize, PhaseCost, Sizes
from delt_exp.trainer.job import Setup, TrainJob
from delt_exp.weighter.setup import check_batch, reading_cost

if TYPE_CHECKING:
    from delt_exp.weighter.loss_weights import LossWeights


@settings
class LossWeighter:
    """w = B softmax(s(h) / temperature) over the B sequences of a global batch, h in [-1, 1] their scaled losses.

    h is the mean loss per label, moved and stretched so that the smallest of the batch is -1 and the largest 1.
    strategy: `linupper` s = min(h + 1, 1), low losses count less and those above the middle alike; `quadratic`
    s = 1 - h^2, the middle counts most; `extremes` s = |h|, it counts least. temperature: the larger, the more equal.
    Source: Sow et al. 2025, arXiv 2502.06733.
    """

    VERSION: ClassVar[int] = 1
    reads_scores: ClassVar[bool] = False
    reads_target: ClassVar[bool] = False
    strategy: Literal["linupper", "quadratic", "extremes"]
    temperature: PositiveFloat

    def check(self, setup: Setup, candidates: Tokens, num_steps: int) -> None:
        check_batch("loss", setup)

    def open(self, network: Any, job: TrainJob, ranks: Ranks) -> "LossWeights":
        from delt_exp.weighter.loss_weights import LossWeights

        return LossWeights(network, job, ranks, self.strategy, self.temperature)

    def forecast(self, setup: Setup, sizes: Sizes, size: ModelSize, num_tokens: int) -> list[PhaseCost]:
        return reading_cost(setup, size, num_tokens)
