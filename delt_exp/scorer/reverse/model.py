"""A language model as a point in parameter space, its samples shared by processes.

Shapes: B samples of a micro-batch, P parameters; flat vectors follow `trainable_parameters`.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from delt_exp.distributed.ranks import Ranks
from delt_exp.gradients.flat import flatten, trainable_parameters, unflatten
from delt_exp.gradients.products import Weighting, add_gradient, add_hvp
from delt_exp.model.objective import CrossEntropy
from delt_exp.scorer.reverse.samples import Sample, by_length, micro_batches

OBJECTIVE = CrossEntropy()  # what PDS, DELT and Data Value Embedding define their scores by


class SharedModel:
    """A causal language model; of any samples, every process works on every `world_size`-th by length.

    `gradient_samples` and `hvp_samples` are the sizes of micro-batches of passes of first and of second order.
    """

    def __init__(
        self, model: nn.Module, ranks: Ranks, gradient_samples: int, hvp_samples: int,
        autocast_dtype: torch.dtype | None,
    ) -> None:  # fmt: skip
        self.model, self.ranks, self.dtype = model, ranks, autocast_dtype
        self.gradient_samples, self.hvp_samples = gradient_samples, hvp_samples
        self._parameters = list(trainable_parameters(model).values())
        self.device = self._parameters[0].device

    @property
    def theta(self) -> Tensor:
        """A copy of the parameters; assigning writes them into the model."""
        return flatten(self._parameters)

    @theta.setter
    def theta(self, value: Tensor) -> None:
        with torch.no_grad():
            for parameter, piece in zip(self._parameters, unflatten(value, self._parameters), strict=True):
                parameter.copy_(piece)

    def gradient(self, samples: Sequence[Sample], weighting: Weighting) -> tuple[float, Tensor]:
        """Weighted sum of the samples' mean losses, and its gradient."""
        total, loss = torch.zeros_like(self.theta), 0.0
        for indices, batch in self.batches(samples, self.gradient_samples):
            loss += add_gradient(self.model, batch, OBJECTIVE, part(weighting, indices), total, self.dtype)
        loss_sum = self.ranks.sum(torch.tensor(loss, dtype=torch.float64, device=self.device))
        return loss_sum.item(), self.ranks.sum(total)

    def hvp(self, samples: Sequence[Sample], weighting: Weighting, direction: Tensor) -> Tensor:
        """Hessian of that sum times `direction`."""
        total = torch.zeros_like(direction)
        for indices, batch in self.batches(samples, self.hvp_samples):
            add_hvp(self.model, batch, OBJECTIVE, direction, part(weighting, indices), total, self.dtype)
        return self.ranks.sum(total)

    def batches(self, samples: Sequence[Sample], size: int) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
        """Micro-batches of this process's share, each with the indices it holds."""
        share = by_length(samples)[self.ranks.rank :: self.ranks.world_size]
        return micro_batches(samples, share, size, self.device)


def part(weighting: Weighting, indices: Sequence[int]) -> Weighting:
    """The weighting of some of the samples."""
    return weighting if isinstance(weighting, int) else weighting[list(indices)]
