"""Every sequence counts alike."""

from typing import Any, ClassVar

from delt_exp.config.fields import settings
from delt_exp.corpus.tokens import Tokens
from delt_exp.distributed.ranks import Ranks
from delt_exp.model.cost import ModelSize, PhaseCost, Sizes
from delt_exp.trainer.job import Setup, TrainJob
from delt_exp.trainer.weights import EqualWeights


@settings
class NoWeighter:
    """The loss of a step is the mean over its predicted tokens."""

    VERSION: ClassVar[int] = 1
    reads_scores: ClassVar[bool] = False
    reads_target: ClassVar[bool] = False

    def check(self, setup: Setup, candidates: Tokens, num_steps: int) -> None:
        """Accept all."""

    def open(self, network: Any, job: TrainJob, ranks: Ranks) -> EqualWeights:
        return EqualWeights(job.plan.num_items)

    def forecast(self, setup: Setup, sizes: Sizes, size: ModelSize, num_tokens: int) -> list[PhaseCost]:
        return []
