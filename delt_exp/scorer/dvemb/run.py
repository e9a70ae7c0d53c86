"""What the sweep needs to know of a run, and that for a language model with samples shared by ranks.

Shapes: B sequences of a batch, T positions, N occurrences of documents in an update, G groups of the target, P
parameters.
"""

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from delt_exp.distributed.ranks import Ranks
from delt_exp.files import digest
from delt_exp.gradients.gauss_newton import add_gauss_newton
from delt_exp.gradients.precision import autocast_dtype
from delt_exp.gradients.tokens import add_token_gradient, token_products
from delt_exp.scorer.dvemb.settings import ValueSettings
from delt_exp.scorer.dvemb.update import NOBODY, Update
from delt_exp.scorer.reverse.model import SharedModel, part
from delt_exp.scorer.reverse.samples import Sample
from delt_exp.scorer.reverse.trajectory import Descent


class ValuedRun(Descent, Protocol):
    """A training run, and the target that its last state is judged by."""

    updates: Sequence[Update]

    def target_gradients(self) -> tuple[list[float], Tensor]:
        """Loss of each group of the target, and its gradient (G, P)."""
        ...

    def dots(self, step: int, direction_GP: Tensor) -> Tensor:
        """<w_n g_n, direction> (N, G) float64 on the CPU; w_n g_n is an occurrence's part of the update's gradient."""
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
        dtype = autocast_dtype(settings.precision)
        super().__init__(model, ranks, settings.gradient_samples, settings.hvp_samples, dtype)
        self.num_steps, self.updates, self._target, self._settings = len(updates), updates, target, settings

    def step_gradient(self, step: int) -> tuple[float, Tensor]:
        return self.gradient(self.updates[step].samples, self.updates[step].weights_B)

    def target_gradients(self) -> tuple[list[float], Tensor]:
        losses, gradients = zip(*(self.gradient(group, len(group)) for group in self._target), strict=True)
        return list(losses), torch.stack(gradients)

    def dots(self, step: int, direction_GP: Tensor) -> Tensor:
        update = self.updates[step]
        dot_NG = torch.zeros(len(update.rows_N), len(direction_GP), dtype=torch.float64)
        for indices, batch in self.batches(update.samples, self.gradient_samples):
            weight_B, occurrence_BT = self._tokens_of(update, indices, batch["labels"].shape[1])
            is_label_BT = occurrence_BT != NOBODY
            for group, direction_P in enumerate(direction_GP):
                product_BT = weight_B[:, None] * token_products(self.model, batch, direction_P, self.dtype).cpu()
                dot_NG[:, group].index_add_(0, occurrence_BT[is_label_BT], product_BT[is_label_BT])
        return self.ranks.sum(dot_NG.to(self.device)).cpu()

    def curvature(self, step: int, direction_GP: Tensor, dot_NG: Tensor) -> Tensor:
        name, update = self._settings.curvature, self.updates[step]
        if name == "none":
            return torch.zeros_like(direction_GP)
        if name == "fisher":  # sum_n w_n g_n <g_n, direction> is a gradient with weights
            weight_NG = dot_NG / update.shares[:, None]
            return torch.stack([self._gradient_of_occurrences(update, weight_N) for weight_N in weight_NG.T])
        product = self.hvp if name == "hessian" else self._gauss_newton
        return torch.stack(list(map(partial(product, update.samples, update.weights_B), direction_GP)))

    def _gradient_of_occurrences(self, update: Update, weight_N: Tensor) -> Tensor:
        """The update's gradient with a further weight for each occurrence."""
        total = torch.zeros_like(self.theta)
        for indices, batch in self.batches(update.samples, self.gradient_samples):
            weight_B, occurrence_BT = self._tokens_of(update, indices, batch["labels"].shape[1])
            factor_BT = torch.where(occurrence_BT == NOBODY, 0, weight_N[occurrence_BT])
            add_token_gradient(self.model, batch, (weight_B[:, None] * factor_BT).to(self.device), total, self.dtype)
        return self.ranks.sum(total)

    def _tokens_of(self, update: Update, indices: Sequence[int], length: int) -> tuple[Tensor, Tensor]:
        """Of a micro-batch the weight of a token of each sequence, (B,), and the occurrence at each place, (B, T)."""
        occurrence_BT = torch.full((len(indices), length), NOBODY)
        for row, index in enumerate(indices):
            occurrence_T = update.occurrence_BT[index]
            occurrence_BT[row, : len(occurrence_T)] = occurrence_T
        return update.token_weights[list(indices)], occurrence_BT

    def _gauss_newton(self, samples: Sequence[Sample], weights: Tensor, direction: Tensor) -> Tensor:
        total = torch.zeros_like(direction)
        for indices, batch in self.batches(samples, self.hvp_samples):
            add_gauss_newton(self.model, batch, direction, part(weights, indices), total, self.dtype)
        return self.ranks.sum(total)

    def fingerprint(self) -> str:
        samples = [s for u in self.updates for s in u.samples] + [s for g in self._target for s in g]
        updates = [
            (u.rows_N.tolist(), u.weights_B.tolist(), [part.tolist() for part in u.occurrence_BT]) for u in self.updates
        ]
        sizes = [len(group) for group in self._target]
        return digest([s.digest() for s in samples], updates, sizes, self.theta.cpu().numpy(), str(self.dtype))
