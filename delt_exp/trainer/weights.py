"""Weights of training sequences that nothing changes. B sequences of a micro-batch, I items of a plan."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from delt_exp.model.batch import Batch
from delt_exp.store.evidence import Evidence
from delt_exp.trainer.job import Update

if TYPE_CHECKING:
    from torch import Tensor


class FixedWeights:
    """What weights have in common that stay as they are: nothing to learn, to store or to show."""

    def after_step(self, update: Update) -> None:
        """Learn nothing."""

    def metrics(self) -> Mapping[str, float]:
        return {}

    def show(self, evidence: Evidence) -> None:
        """Show nothing: the settings say it all."""

    def state_dict(self) -> Mapping[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Read nothing: nothing was stored."""


class EqualWeights(FixedWeights):
    """1 everywhere."""

    def __init__(self, num_items: int) -> None:
        self.num_items = num_items

    def __call__(self, batch: Batch, losses_B: "Tensor") -> "Tensor":
        import torch

        return torch.ones_like(losses_B)

    def planned(self) -> NDArray[np.float64]:
        return np.ones(self.num_items)
