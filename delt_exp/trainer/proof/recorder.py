"""What training consumed and did, written down where it happens: at the network, at the loss and at the optimizer.

A sequence is digested from the very tensors that enter the embedding and the loss. For every micro-batch it is noted
how many labels it predicts and with what weight its loss entered the gradient; for every step, the learning rate and
the gradient that the optimizer used, and the bits of the parameters before and after. `order`, `pairs` and `steps`
compare all this with the plan.
"""

import math
import weakref
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributed.tensor import DTensor

from delt_exp.corpus.tokens import IGNORED
from delt_exp.model.next_token import next_token_losses
from delt_exp.trainer.proof.order import CONSUMED, multipliers
from delt_exp.trainer.proof.steps import STEPS

SAMPLE = 4096  # numbers of each gradient that are looked at


@dataclass
class _Call:
    """One micro-batch of B sequences. loss: their sum [nats].

    claims: [4, B] index, first and last document as the loader says, and the digest. weights: [2, B] the least and the
    largest weight of a label's loss in the gradient; None where it is not used, infinite where there is no label.
    """

    claims: Tensor
    num_labels: Tensor
    loss: Tensor
    weights: Tensor | None = None


@dataclass
class _Step:
    """What one rank did between two updates."""

    step: int
    before: Tensor
    calls: list[_Call] = field(default_factory=list)
    intact: list[Tensor] = field(default_factory=list)
    grad_norms: list[Tensor] = field(default_factory=list)
    num_updates: int = 0
    lr: float = math.nan
    after: Tensor | None = None


class Recorder(pl.Callback):
    """Records digests of consumed sequences and facts of updates; reads nothing back from the device before `flush`.

    Each rank writes its own parts; a part ends where a checkpoint is taken, so that a restart can drop what came after.
    """

    def __init__(self, folder: Path, batch_items: int, sees_embedding: bool) -> None:
        """sees_embedding: false for a compiled network, inside which nothing can be watched."""
        self.folder, self.batch_items, self.sees_embedding = folder, batch_items, sees_embedding
        self.start = 0
        self.steps: list[_Step] = []
        self.multipliers: dict[tuple[int, torch.device], tuple[Tensor, ...]] = {}
        self.entered: dict[str, Any] = {}
        self.embedded: Tensor | None = None
        self.batch: dict[str, Tensor] | None = None  # of the micro-batch that is trained; a weighter may read others
        self.logits: Any = None
        self.watching_losses: Any = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.start = trainer.global_step
        if trainer.is_global_zero:
            for folder in (self.folder / "rows", self.folder / "steps"):
                folder.mkdir(parents=True, exist_ok=True)
                for part in folder.glob("*.npy"):
                    if int(part.name.split("-")[0]) >= self.start:
                        part.unlink()
        trainer.strategy.barrier()
        self.trainer, self.module = trainer, pl_module
        self.parameters = list(pl_module.network.parameters())
        self.scaler = getattr(trainer.precision_plugin, "scaler", None)
        network = pl_module.network
        network.register_forward_pre_hook(self._enters_network, with_kwargs=True)
        network.register_forward_hook(self._leaves_network)
        if self.sees_embedding:
            network.get_input_embeddings().register_forward_pre_hook(self._enters_embedding)
        self.watching_losses = next_token_losses.register_forward_hook(self._leaves_losses)
        trainer.optimizers[0].register_step_post_hook(self._updated)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.batch = {name: batch[name] for name in ("index", "first", "last", "lengths")}

    @property
    def _is_trained(self) -> bool:
        """Whether what passes now can be learnt from; a weighter may read without gradients."""
        return self.batch is not None and torch.is_grad_enabled()

    def _enters_network(self, network: Any, args: tuple[Any, ...], arguments: dict[str, Any]) -> None:
        if not self._is_trained:
            return
        self.entered, self.embedded, self.logits = ({} if args else arguments), None, None
        step = self.trainer.global_step
        if not self.steps or self.steps[-1].step != step:
            self.steps.append(_Step(step, self._fingerprint()))
        elif self.steps[-1].grad_norms:  # what the last micro-batch added to the gradient is still there
            self.steps[-1].intact.append(self._grad_norm() == self.steps[-1].grad_norms.pop())

    def _enters_embedding(self, embedding: Any, args: tuple[Any, ...]) -> None:
        self.embedded = args[0] if args else None

    def _leaves_network(self, network: Any, args: tuple[Any, ...], output: Any) -> None:
        self.logits = weakref.ref(output.logits), output.logits._version

    def _leaves_losses(self, next_token_losses: Any, args: tuple[Any, ...], losses_BT: Tensor) -> None:
        """The losses of one micro-batch are made: digest what they were made of, see how they enter the gradient."""
        if self.batch is None or not self._is_trained:
            return
        logits_BTV, labels_BT = args
        is_whole = self.logits is not None and self.logits[0]() is logits_BTV and self.logits[1] == logits_BTV._version
        digests_B = (
            self._digests(labels_BT, self.batch) if is_whole and labels_BT.shape == logits_BTV.shape[:2] else None
        )
        claims = torch.stack([self.batch[name] for name in ("index", "first", "last")])
        if digests_B is None or len(digests_B) != claims.shape[1]:
            digests_B = torch.zeros_like(claims[0])
        step = self.steps[-1]
        is_label_BT = labels_BT != IGNORED
        loss = losses_BT.detach().sum(dtype=torch.float64)
        call = _Call(torch.cat([claims, digests_B[None]]), is_label_BT.sum(), loss)
        step.calls.append(call)
        unit = torch.ones((), device=losses_BT.device)
        unit = self.trainer.world_size * (unit if self.scaler is None else self.scaler.scale(unit))

        def enter_gradient(weights_BT: Tensor) -> None:
            ends = weights_BT.where(is_label_BT, math.inf).amin(1), weights_BT.where(is_label_BT, -math.inf).amax(1)
            call.weights = torch.stack(ends) / unit + (0 if call.weights is None else call.weights)

        if losses_BT.requires_grad:
            losses_BT.register_hook(enter_gradient)

    def _digests(self, labels_BT: Tensor, batch: dict[str, Tensor]) -> Tensor | None:
        """Return [B] digests as `order.item_digest` defines them, None where the network read something unplanned."""
        known = {"input_ids", "position_ids", "use_cache"}
        inputs_BT = self.entered.get("input_ids") if self.embedded is None else self.embedded
        if inputs_BT is None or inputs_BT.shape != labels_BT.shape or set(self.entered) - known:
            return None
        length, device = labels_BT.shape[1], labels_BT.device
        if (length, device) not in self.multipliers:
            on_host = (*multipliers(length), np.arange(length))
            self.multipliers[length, device] = tuple(torch.from_numpy(m).to(device) for m in on_host)
        a_T, b_T, c_T, index_T = self.multipliers[length, device]
        positions = self.entered.get("position_ids", index_T)
        inside = index_T < batch["lengths"][:, None]
        if len(inside) != len(labels_BT):
            return None
        return (((inputs_BT + 1) * a_T + (labels_BT + 101) * b_T + (positions + 1) * c_T) * inside).sum(1)

    def on_after_backward(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.batch = None
        self.steps[-1].grad_norms = [self._grad_norm()]  # of a scaled loss it is another one than is applied

    def _updated(self, optimizer: Any, args: Any, arguments: Any) -> None:
        step = self.steps[-1]
        step.num_updates += 1
        step.grad_norms += [self._grad_norm(), self.module.grad_norm]
        rates = {float(group["lr"]) for group in optimizer.param_groups}
        step.lr = rates.pop() if len(rates) == 1 else math.nan
        step.after = self._fingerprint()

    def _grad_norm(self) -> Tensor:
        """Norm of a sample of every gradient on this rank; those of shards add up in squares."""
        gradients = [local(p.grad).flatten()[:SAMPLE] for p in self.parameters if p.grad is not None]
        return torch.cat(gradients).norm() if gradients else torch.zeros(())

    def _fingerprint(self) -> Tensor:
        return fingerprint([local(parameter.detach()) for parameter in self.parameters])

    def flush(self, trainer: pl.Trainer) -> None:
        """Write what was recorded since the last call."""
        rows = [_rows(step.step, call, self.batch_items) for step in self.steps for call in step.calls]
        name = f"{self.start}-{trainer.global_rank}.npy"
        if rows:
            np.save(self.folder / "rows" / name, np.concatenate(rows))
        if self.steps:
            is_sharded = isinstance(self.parameters[0], DTensor)
            records = _steps(self.steps, trainer.global_rank, is_sharded, self.steps[0].before.device)
            np.save(self.folder / "steps" / name, records)
        self.steps = []
        self.start = trainer.global_step

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.watching_losses.remove()
        self.flush(trainer)
        trainer.strategy.barrier()

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        if self.watching_losses is not None:
            self.watching_losses.remove()


def fingerprint(tensors: list[Tensor]) -> Tensor:
    """Return 64 bits of the bits of float32 tensors: sums of them, mixed; those of shards add up to that of the whole.

    Two states of a network agree by chance with a probability of about 2^-63.
    """
    sums = torch.stack([_bits(tensor).sum(dtype=torch.int64) for tensor in tensors])
    return (sums * _mixers(len(sums), sums.device)).sum()


@cache
def _mixers(count: int, device: torch.device) -> Tensor:
    return torch.from_numpy(multipliers(count)[0]).to(device)


def _bits(tensor: Tensor) -> Tensor:
    """Rows are summed as pairs of numbers, 60 times as fast; a vector may be cut into shards between two of a pair."""
    in_pairs = tensor.ndim > 1 and tensor.shape[-1] % 2 == 0
    return tensor.contiguous().view(torch.int64 if in_pairs else torch.int32)


def local(tensor: Tensor) -> Tensor:
    """Return this rank's part of a tensor that may be in shards."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _rows(step: int, call: _Call, batch_items: int) -> NDArray[np.void]:
    claims = call.claims.cpu().numpy()
    is_row = claims[0] >= 0
    index, first, last, digests = claims[:, is_row]
    records = np.zeros(len(index), CONSUMED)
    records["step"], records["slot"] = step, index % batch_items
    records["first"], records["last"], records["digest"] = first, last, digests
    if call.weights is not None and call.weights.shape[1] == len(is_row):
        records["least_weight"], records["largest_weight"] = call.weights.double().cpu().numpy()[:, is_row]
    return records


def _steps(steps: list[_Step], rank: int, is_sharded: bool, device: torch.device) -> NDArray[np.void]:
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
