"""The weights of `LossWeighter`. B sequences of a global batch."""

from typing import Any

import torch
from torch import Tensor

from delt_exp.distributed.ranks import Ranks
from delt_exp.model.batch import Batch
from delt_exp.trainer.job import TrainJob
from delt_exp.weighter.batch_weights import BatchWeights, softmax_weights


class LossWeights(BatchWeights):
    """Softmax of the scaled losses of each batch; nothing is learnt."""

    def __init__(self, network: Any, job: TrainJob, ranks: Ranks, strategy: str, temperature: float) -> None:
        super().__init__(network, job, ranks)
        self.strategy, self.temperature = strategy, temperature

    def read(self, batch: Batch, mean_losses_B: Tensor) -> Tensor:
        has_label_B = self.job.recipe.objective.counts(batch) > 0
        return torch.stack([mean_losses_B, has_label_B.to(mean_losses_B)], dim=1)

    def look(self, batch: Batch) -> Tensor:
        return self.read(batch, self.means(batch, self.job.recipe.objective.losses(self.network, batch)))

    def weigh(self, step: int, batch: Batch, losses_B: Tensor) -> Tensor:
        losses_B, has_label_B = self.of_whole_batch(step, batch, losses_B).T
        return softmax_weights(strength(losses_B, has_label_B > 0, self.strategy) / self.temperature)


def strength(losses_B: Tensor, has_label_B: Tensor, strategy: str) -> Tensor:
    """Return s(h) of `LossWeighter`; 0 for all where all losses are equal.

    A sequence without a label has no loss: it stretches nothing, and no weight of it matters.
    """
    low, high = losses_B[has_label_B].min(), losses_B[has_label_B].max()
    if not high > low:
        return torch.zeros_like(losses_B)
    h_B = ((2 * losses_B - high - low) / (high - low)).clamp(-1, 1)
    if strategy == "linupper":
        return (h_B + 1).clamp(max=1)
    return 1 - h_B.square() if strategy == "quadratic" else h_B.abs()
