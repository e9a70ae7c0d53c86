"""What was recorded of micro-batches and updates, as tensors while training runs and as records on disk.

B sequences of a micro-batch, C micro-batches, S updates.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delt_exp.trainer.proof.order import CONSUMED
from delt_exp.trainer.proof.steps import STEPS


@dataclass
class Call:
    """One micro-batch of B sequences. loss: their sum [nats].

    claims: [4, B] index, first and last document as the loader says, and the digest. weights: [2, B] the least and the
    largest weight of a label's loss in the gradient; None where it is not used, infinite where there is no label.
    """

    claims: Tensor
    num_labels: Tensor
    loss: Tensor
    weights: Tensor | None = None


@dataclass
class Step:
    """What one rank did between two updates."""

    step: int
    before: Tensor
    calls: list[Call] = field(default_factory=list)
    intact: list[Tensor] = field(default_factory=list)
    grad_norms: list[Tensor] = field(default_factory=list)
    num_updates: int = 0
    lr: float = math.nan
    after: Tensor | None = None


def consumed_rows(step: int, call: Call, batch_items: int) -> NDArray[np.void]:
    claims = call.claims.cpu().numpy()
    is_row = claims[0] >= 0
    index, first, last, digests = claims[:, is_row]
    records = np.zeros(len(index), CONSUMED)
    records["step"], records["slot"] = step, index % batch_items
    records["first"], records["last"], records["digest"] = first, last, digests
    if call.weights is not None and call.weights.shape[1] == len(is_row):
        records["least_weight"], records["largest_weight"] = call.weights.double().cpu().numpy()[:, is_row]
    return records


def step_facts(steps: list[Step], rank: int, is_sharded: bool, device: torch.device) -> NDArray[np.void]:
    """Return the facts of all steps, read from the device in one transfer of each kind."""
    none = torch.tensor(math.nan)
    calls = [call for step in steps for call in step.calls]
    labels_C = _read([call.num_labels for call in calls], device)
    loss_C = _read([call.loss for call in calls], device)
    norms_S3 = _read([norm for step in steps for norm in (*step.grad_norms, none, none, none)[:3]], device).reshape(
        -1, 3
    )
    bits_S2 = torch.stack(
        [bits for step in steps for bits in (step.before, step.before if step.after is None else step.after)]
    )
    records = np.zeros(len(steps), STEPS)
    records["rank"], records["is_sharded"] = rank, is_sharded
    for name in ("step", "num_updates", "lr"):
        records[name] = [getattr(step, name) for step in steps]
    records["before"], records["after"] = bits_S2.cpu().numpy().reshape(-1, 2).T
    for name, norms_S in zip(("backward_norm", "applied_norm", "grad_norm"), norms_S3.T, strict=True):
        records[name] = norms_S
    first = 0
    for record, step in zip(records, steps, strict=True):
        own = slice(first, first := first + len(step.calls))
        record["num_labels"], record["loss"] = labels_C[own].sum(), loss_C[own].sum()
        record["is_intact"] = all(bool(flag) for flag in step.intact)
    return records


def _read(values: list[Tensor], device: torch.device) -> NDArray[np.float64]:
    on_device = [value.to(device) for value in values]
    return torch.stack(on_device).double().cpu().numpy() if values else np.empty(0)


def merged(folder: Path) -> tuple[NDArray[np.void], NDArray[np.void]]:
    """Return the records of all ranks and restarts: CONSUMED by step and slot, STEPS by step and rank."""

    def records(kind: str, dtype: np.dtype[np.void], order: list[str]) -> NDArray[np.void]:
        parts = [np.load(part, allow_pickle=False) for part in sorted((folder / kind).glob("*.npy"))]
        return np.sort(np.concatenate([np.zeros(0, dtype), *parts]), order=order)

    return records("rows", CONSUMED, ["step", "slot"]), records("steps", STEPS, ["step", "rank"])
