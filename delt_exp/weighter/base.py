"""What every weighter promises. B sequences of a micro-batch, I items of a plan."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from delt_exp.distributed.ranks import Ranks
    from delt_exp.model.objective import Batch
    from delt_exp.trainer.job import TrainJob
    from delt_exp.trainer.plan import PlanSettings


class Weights(Protocol):
    """The weights of one training run, as each of its processes holds them.

    A step minimises sum_i w_i loss_i / sum_i count_i over the sequences i of its global batch.
    """

    def __call__(self, batch: "Batch", losses_B: "Tensor") -> "Tensor":
        """Return w [B] float64 of a micro-batch, with mean 1 over the sequences of the global batch.

        `batch["index"]` says which items of the plan they are; negative for a row without any. losses_B is detached.
        """

    def planned(self) -> NDArray[np.float64] | None:
        """Return w [I] of all items where the plan decides them, for the proof of order; None where they are learnt."""

    def after_step(self, step: int) -> None:
        """Learn, once the parameters of the network are those after update `step`, counted from 0."""

    def state_dict(self) -> Mapping[str, Any]:
        """Return what a restart needs: tensors, numbers and text."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""


class Weighter(Protocol):
    """Weights sequences during training; fields of an implementation are the keys of its YAML file."""

    VERSION: ClassVar[int]
    reads_scores: ClassVar[bool]

    def check(self, settings: "PlanSettings") -> None:
        """Raise ConfigError when the batches of a training run cannot be weighted."""

    def open(self, network: Any, job: "TrainJob", ranks: "Ranks") -> Weights:
        """Return the weights at the beginning of a run. `job.goodness` is given where `reads_scores` is true."""
