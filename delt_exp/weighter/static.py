"""Weights from the scores of the run itself."""

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.config.fields import PositiveFloat, settings
from delt_exp.distributed.ranks import Ranks
from delt_exp.errors import ConfigError
from delt_exp.model.batch import Batch
from delt_exp.trainer.job import TrainJob
from delt_exp.trainer.plan import PlanSettings
from delt_exp.trainer.weights import FixedWeights

if TYPE_CHECKING:
    from torch import Tensor


@settings
class StaticWeighter:
    """w_i = B softmax_i(z / temperature) over the B sequences of a global batch: better documents count more.

    z is the goodness of the sequence's document (the score, negated where lower is better), standardised over the
    documents that are trained. temperature: in standard deviations; the larger, the more equal. A weight acts on every
    predicted token of the document, whichever sequence it stands in. That needs training.layout=padded: a packed
    sequence holds pieces of several documents and has only one weight.
    """

    VERSION: ClassVar[int] = 1
    reads_scores: ClassVar[bool] = True
    temperature: PositiveFloat

    def check(self, settings: PlanSettings) -> None:
        if settings.layout != "padded":
            raise ConfigError(
                f"training.layout is {settings.layout}: a sequence holds several documents, but has one weight; use "
                "training.layout=padded with weighter=static"
            )

    def open(self, network: Any, job: TrainJob, ranks: Ranks) -> "ItemWeights":
        assert job.goodness is not None
        plan, goodness = job.plan, job.goodness.astype(np.float64)
        rows_I = plan.order[plan.document_of(np.arange(plan.num_items))]
        trained = goodness[plan.trained_rows]
        z_I = (goodness[rows_I] - trained.mean()) / (trained.std() or 1.0)  # equal scores weigh alike
        return ItemWeights(batch_softmax(z_I / self.temperature, plan.batch_items))


def batch_softmax(logits_I: NDArray[np.float64], batch_items: int) -> NDArray[np.float64]:
    """Return B times the softmax over the B items of each global batch, the last of which may be smaller."""
    starts = np.arange(0, len(logits_I), batch_items)
    sizes = np.diff(starts, append=len(logits_I))
    weights_I = np.exp(logits_I - np.repeat(np.maximum.reduceat(logits_I, starts), sizes))
    return weights_I / np.repeat(np.add.reduceat(weights_I, starts) / sizes, sizes)


class ItemWeights(FixedWeights):
    """One weight for each item of the plan."""

    def __init__(self, weights_I: NDArray[np.float64]) -> None:
        import torch

        self.weights_I = torch.from_numpy(weights_I)

    def __call__(self, batch: Batch, losses_B: "Tensor") -> "Tensor":
        self.weights_I = self.weights_I.to(losses_B.device)
        return self.weights_I[batch["index"]]

    def planned(self) -> NDArray[np.float64]:
        return self.weights_I.cpu().numpy()
