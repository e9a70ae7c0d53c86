"""What a valuation gives back.

Shapes: N occurrences of documents in all updates, G groups of the target, T updates.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from delt_exp.files import written_aside


@dataclass(frozen=True)
class Values:
    """The value of every occurrence, float64 on the CPU, in the order of training.

    step_N: its update, from 0. row_N: the corpus row of its document. value_NG: by how many nats the loss of each group
    of the target would be higher at the end without it, to first order. target_loss_G: at the end. Of each update:
    rate_T, its learning rate; train_loss_T and gradient_norm_T, before it; costate_norm_TG, the norm of the derivative
    of the target's loss in theta after it; growth_TG, the factor by which stepping back over it multiplies that norm,
    and curvature_TG, what the curvature of its loss adds, relative to it: for plain gradient descent lower bounds of
    the norms of I - eta H and eta H; drop_T, what it takes off the loss of its own batch to first order, NaN of an
    optimizer whose steps do not follow the gradient. trajectory: how states were kept.
    """

    step_N: Tensor
    row_N: Tensor
    value_NG: Tensor
    target_loss_G: Tensor
    rate_T: Tensor
    train_loss_T: Tensor
    gradient_norm_T: Tensor
    drop_T: Tensor
    costate_norm_TG: Tensor
    growth_TG: Tensor
    curvature_TG: Tensor
    trajectory: str

    def save(self, path: Path) -> None:
        """Write one safetensors file aside and rename it."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        tensors = {name: value.contiguous() for name, value in values.items() if isinstance(value, Tensor)}
        with written_aside(path) as aside:
            save_file(tensors, aside, metadata={"trajectory": self.trajectory})

    @classmethod
    def load(cls, path: Path) -> "Values":
        """Read what `save` wrote."""
        with safe_open(path, framework="pt") as file:
            trajectory = file.metadata()["trajectory"]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        return cls(trajectory=trajectory, **tensors)

    def of_documents(self, num_rows: int, weight_G: Tensor) -> Tensor:
        """The value of each corpus row, (num_rows,): the weighted mean over groups, summed over its occurrences."""
        return sum_of_occurrences(self.value_NG, self.row_N.numpy(), num_rows) @ weight_G


def sum_of_occurrences(value_NG: Tensor, row_N: NDArray[np.intp], num_rows: int) -> Tensor:
    """The values of each corpus row for each group, (num_rows, G): summed over its occurrences."""
    return value_NG.new_zeros(num_rows, value_NG.shape[1]).index_add_(0, torch.from_numpy(row_N), value_NG)
