"""How far the reverse loop has come, on disk, so that a killed annotation continues.

Shapes: N documents, S scored steps, T updates.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from delt_exp.errors import StoreError
from delt_exp.files import written_aside

_FILE = "reverse.safetensors"


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
        folder.mkdir(parents=True, exist_ok=True)
        with written_aside(folder / _FILE) as aside:
            save_file(tensors, aside, metadata={"fingerprint": fingerprint})


def load_state(folder: Path, fingerprint: str, device: torch.device) -> ReverseState | None:
    """The state in `folder`, None where there is none; StoreError where it belongs to another annotation."""
    path = folder / _FILE
    if not path.exists():
        return None
    with safe_open(path, framework="pt") as file:
        found = (file.metadata() or {}).get("fingerprint")
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
    if found != fingerprint:
        raise StoreError(
            f"{path} belongs to another annotation (model, samples or settings differ); delete it to start anew"
        )
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
