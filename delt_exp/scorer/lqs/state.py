"""How far the reverse loop has come.

Shapes: N documents, S scored steps, T updates.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from delt_exp.scorer.reverse.state import load_tensors, save_tensors


@dataclass
class ReverseState:
    """Everything the reverse loop carries from one segment to the next; `segment` is the last one finished."""

    segment: int
    costate: Tensor
    first_norm_N: Tensor
    train_loss_T: Tensor
    target_loss_T: Tensor
    steps_S: list[int]
    dot_SN: list[Tensor]
    norm_SN: list[Tensor]
    costate_norm_S: list[float]

    def save(self, folder: Path, fingerprint: str) -> None:
        """Write one file aside and rename it."""
        empty_SN = torch.zeros(0, len(self.first_norm_N), dtype=torch.float64)
        tensors = {
            "segment": torch.tensor(self.segment),
            "costate": self.costate.cpu(),
            "first_norm_N": self.first_norm_N,
            "train_loss_T": self.train_loss_T,
            "target_loss_T": self.target_loss_T,
            "steps_S": torch.tensor(self.steps_S, dtype=torch.int64),
            "dot_SN": torch.cat([empty_SN, *(d[None] for d in self.dot_SN)]),
            "norm_SN": torch.cat([empty_SN, *(m[None] for m in self.norm_SN)]),
            "costate_norm_S": torch.tensor(self.costate_norm_S, dtype=torch.float64),
        }
        save_tensors(folder, tensors, fingerprint)


def load_state(folder: Path, fingerprint: str, device: torch.device) -> ReverseState | None:
    """The state in `folder`, None where there is none; StoreError where it belongs to another annotation."""
    tensors = load_tensors(folder, fingerprint)
    if tensors is None:
        return None
    return ReverseState(
        segment=int(tensors["segment"]),
        # A copy: memory mapped from the file is aligned otherwise, and then sums are taken in another order.
        costate=tensors["costate"].to(device, copy=True),
        first_norm_N=tensors["first_norm_N"],
        train_loss_T=tensors["train_loss_T"],
        target_loss_T=tensors["target_loss_T"],
        steps_S=tensors["steps_S"].tolist(),
        dot_SN=list(tensors["dot_SN"]),
        norm_SN=list(tensors["norm_SN"]),
        costate_norm_S=tensors["costate_norm_S"].tolist(),
    )
