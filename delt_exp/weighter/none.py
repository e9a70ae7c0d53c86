"""Every sequence counts alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from delt_exp.distributed.ranks import Ranks
    from delt_exp.model.objective import Batch
    from delt_exp.trainer.job import TrainJob
    from delt_exp.trainer.plan import PlanSettings


@dataclass(frozen=True)
class NoWeighter:
    """The loss of a step is the mean over its predicted tokens."""

    VERSION: ClassVar[int] = 1
    reads_scores: ClassVar[bool] = False

    def check(self, settings: "PlanSettings") -> None:
        """Accept all."""

    def open(self, network: Any, job: "TrainJob", ranks: "Ranks") -> "EqualWeights":
        return EqualWeights(job.plan.num_items)


class FixedWeights:
    """Has nothing to learn and nothing to remember."""

    def after_step(self, step: int) -> None:
        """Stay."""

    def state_dict(self) -> Mapping[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing is there."""


class EqualWeights(FixedWeights):
    """1 everywhere."""

    def __init__(self, num_items: int) -> None:
        self.num_items = num_items

    def __call__(self, batch: "Batch", losses_B: "Tensor") -> "Tensor":
        import torch

        return torch.ones_like(losses_B)

    def planned(self) -> NDArray[np.float64]:
        return np.ones(self.num_items)
