"""What the sweep needs to know of a run, and that for a language model with samples shared by ranks.

Shapes: N occurrences of documents in an update, G groups of the target, P parameters.
"""

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from delt_exp.distributed.ranks import Ranks
from delt_exp.files import digest
from delt_exp.gradients.gauss_newton import add_gauss_newton
from delt_exp.gradients.kernel import per_sample_terms
from delt_exp.scorer.dvemb.settings import ValueSettings
from delt_exp.scorer.dvemb.update import Update
from delt_exp.scorer.reverse.model import OBJECTIVE, SharedModel, part
from delt_exp.scorer.reverse.samples import Sample
from delt_exp.scorer.reverse.trajectory import Descent


class ValuedRun(Descent, Protocol):
    """A training run of gradient descent, and the target that its last state is judged by."""

    updates: Sequence[Update]

    def target_gradients(self) -> tuple[list[float], Tensor]:
        """Loss of each group of the target, and its gradient (G, P)."""
        ...

    def dots(self, step: int, direction_GP: Tensor) -> Tensor:
        """<g_n, direction> (N, G) float64 on the CPU, g_n the gradient of an occurrence's mean token loss."""
        ...

    def curvature(self, step: int, direction_GP: Tensor, dot_NG: Tensor) -> Tensor:
        """The curvature of the update's loss times each direction, (G, P); dot_NG: of the same directions."""
        ...

    def fingerprint(self) -> str:
        """Identifies everything the result depends on, theta as it stands included."""
        ...


class LanguageModelRun(SharedModel):
    """A causal language model, its updates and the groups of its target."""

    def __init__(
        self, model: nn.Module, updates: Sequence[Update], target: Sequence[Sequence[Sample]], settings: ValueSettings,
        ranks: Ranks,
    ) -> None:  # fmt: skip
        dtype = torch.bfloat16 if settings.precision == "bf16" else None
        super().__init__(model, ranks, settings.gradient_samples, settings.hvp_samples, dtype)
        self.num_steps, self.updates, self._target, self._settings = len(updates), updates, target, settings

    def step_gradient(self, step: int) -> tuple[float, Tensor]:
        return self.gradient(self.updates[step].samples, self.updates[step].weights_N)

    def target_gradients(self) -> tuple[list[float], Tensor]:
        losses, gradients = zip(*(self.gradient(group, len(group)) for group in self._target), strict=True)
        return list(losses), torch.stack(gradients)

    def dots(self, step: int, direction_GP: Tensor) -> Tensor:
        samples = self.updates[step].samples
        dot_NG = torch.zeros(len(samples), len(direction_GP), dtype=torch.float64, device=self.device)
        # One direction as a vector is a ghost product; as a matrix of one row it would be a built gradient.
        direction = direction_GP[0] if len(direction_GP) == 1 else direction_GP
        for indices, batch in self.batches(samples, self.gradient_samples):
            dot_B, _ = per_sample_terms(self.model, batch, OBJECTIVE, direction, self.dtype)
            dot_NG[indices] = dot_B.view(len(indices), -1)
        return self.ranks.sum(dot_NG).cpu()

    def curvature(self, step: int, direction_GP: Tensor, dot_NG: Tensor) -> Tensor:
        name, update = self._settings.curvature, self.updates[step]
        if name == "none":
            return torch.zeros_like(direction_GP)
        if name == "fisher":  # sum_n w_n g_n <g_n, direction> is a gradient with weights
            weight_NG = update.weights_N[:, None] * dot_NG
            return torch.stack([self.gradient(update.samples, weight_N)[1] for weight_N in weight_NG.T])
        product = self.hvp if name == "hessian" else self._gauss_newton
        return torch.stack(list(map(partial(product, update.samples, update.weights_N), direction_GP)))

    def _gauss_newton(self, samples: Sequence[Sample], weights: Tensor, direction: Tensor) -> Tensor:
        total = torch.zeros_like(direction)
        for indices, batch in self.batches(samples, self.hvp_samples):
            add_gauss_newton(self.model, batch, direction, part(weights, indices), total, self.dtype)
        return self.ranks.sum(total)

    def fingerprint(self) -> str:
        samples = [s for u in self.updates for s in u.samples] + [s for g in self._target for s in g]
        sizes = [len(group) for group in self._target]
        return digest([s.digest() for s in samples], sizes, self.theta.cpu().numpy(), str(self.dtype))
