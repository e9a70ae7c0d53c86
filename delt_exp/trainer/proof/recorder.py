"""What training consumed and did, written down where it happens: at the network, at the loss and at the optimizer.

A sequence is digested from the very tensors that enter the embedding and the loss. For every micro-batch it is noted
how many labels it predicts and with what weight its loss entered the gradient; for every step, the learning rate and
the gradient that the optimizer used, and the bits of the parameters before and after. `order`, `pairs` and `steps`
compare all this with the plan.
"""

import math
import os
import weakref
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
from delt_exp.trainer.proof.fingerprint import fingerprint, local
from delt_exp.trainer.proof.order import multipliers
from delt_exp.trainer.proof.recorded import Call, Step, consumed_rows, step_facts

SAMPLE = 4096  # numbers of each gradient that are looked at


class Recorder(pl.Callback):
    """Records digests of consumed sequences and facts of updates; reads nothing back from the device before `flush`.

    Each rank writes its own parts; a part ends where a checkpoint is taken, so that a restart can drop what came after.
    """

    def __init__(self, folder: Path, batch_items: int, sees_embedding: bool) -> None:
        """sees_embedding: false for a compiled network, inside which nothing can be watched."""
        self.folder, self.batch_items, self.sees_embedding = folder, batch_items, sees_embedding
        self.start = 0
        self.steps: list[Step] = []
        self.multipliers: dict[tuple[int, torch.device], tuple[Tensor, ...]] = {}
        self.entered: dict[str, Any] = {}
        self.embedded: Tensor | None = None
        self.hidden: Tensor | None = None  # what the network hands to its head
        self.headed: Tensor | None = None  # what its head reads: all of it, or the positions with a label
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
            head = network.get_output_embeddings()
            if head is not None:
                head.register_forward_pre_hook(self._comes_to_head)
                head.register_forward_hook(self._enters_head)
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
        self.hidden = self.headed = None
        step = self.trainer.global_step
        if not self.steps or self.steps[-1].step != step:
            self.steps.append(Step(step, self._fingerprint()))
        elif self.steps[-1].grad_norms:  # what the last micro-batch added to the gradient is still there
            self.steps[-1].intact.append(self._grad_norm() == self.steps[-1].grad_norms.pop())

    def _enters_embedding(self, embedding: Any, args: tuple[Any, ...]) -> None:
        self.embedded = args[0] if args else None

    def _comes_to_head(self, head: Any, args: tuple[Any, ...]) -> None:
        self.hidden = args[0].detach() if args else None

    def _enters_head(self, head: Any, args: tuple[Any, ...], logits: Any) -> None:
        self.headed = args[0].detach() if args else None

    def _leaves_network(self, network: Any, args: tuple[Any, ...], output: Any) -> None:
        self.logits = weakref.ref(output.logits), output.logits._version

    def _leaves_losses(self, next_token_losses: Any, args: tuple[Any, ...], losses_BT: Tensor) -> None:
        """The losses of one micro-batch are made: digest what they were made of, see how they enter the gradient."""
        if self.batch is None or not self._is_trained:
            return
        logits, labels_BT = args
        is_whole = self.logits is not None and self.logits[0]() is logits and self.logits[1] == logits._version
        at_labels = self._at_labels(logits, labels_BT) if is_whole else None
        digests_B = None if at_labels is None else self._digests(labels_BT, self.batch, at_labels)
        claims = torch.stack([self.batch[name] for name in ("index", "first", "last")])
        if digests_B is None or len(digests_B) != claims.shape[1]:
            digests_B = torch.zeros_like(claims[0])
        step = self.steps[-1]
        is_label_BT = labels_BT != IGNORED
        loss = losses_BT.detach().sum(dtype=torch.float64)
        call = Call(torch.cat([claims, digests_B[None]]), is_label_BT.sum(), loss)
        step.calls.append(call)
        unit = torch.ones((), device=losses_BT.device)
        unit = self.trainer.world_size * (unit if self.scaler is None else self.scaler.scale(unit))

        def enter_gradient(weights_BT: Tensor) -> None:
            ends = weights_BT.where(is_label_BT, math.inf).amin(1), weights_BT.where(is_label_BT, -math.inf).amax(1)
            call.weights = torch.stack(ends) / unit + (0 if call.weights is None else call.weights)

        if losses_BT.requires_grad:
            losses_BT.register_hook(enter_gradient)

    def _at_labels(self, logits: Tensor, labels_BT: Tensor) -> Tensor | None:
        """Return whether each of `logits` is made at the position of its label; None where they fit no labels."""
        if logits.shape[:2] == labels_BT.shape:
            return labels_BT.new_ones(())
        if self.hidden is None or self.headed is None or self.hidden.shape[:2] != labels_BT.shape:
            return None
        planned = self.hidden[labels_BT != IGNORED][None]
        if self.headed.shape != planned.shape:
            return None
        return ((self.headed == planned) | planned.isnan()).all()

    def _digests(self, labels_BT: Tensor, batch: dict[str, Tensor], at_labels: Tensor) -> Tensor | None:
        """Return [B] digests as `order.item_digest` defines them, None where the network read something unplanned.

        0 where `at_labels` is false, which is known on the device alone.
        """
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
        return (((inputs_BT + 1) * a_T + (labels_BT + 101) * b_T + (positions + 1) * c_T) * inside).sum(1) * at_labels

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
        rows = [consumed_rows(step.step, call, self.batch_items) for step in self.steps for call in step.calls]
        name = f"{self.start}-{trainer.global_rank}.npy"
        if rows:
            _save(self.folder / "rows" / name, np.concatenate(rows))
        if self.steps:
            is_sharded = isinstance(self.parameters[0], DTensor)
            records = step_facts(self.steps, trainer.global_rank, is_sharded, self.steps[0].before.device)
            _save(self.folder / "steps" / name, records)
        self.steps = []
        self.start = trainer.global_step

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.watching_losses.remove()
        self.flush(trainer)
        trainer.strategy.barrier()

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        if self.watching_losses is not None:
            self.watching_losses.remove()


def _save(path: Path, records: NDArray[Any]) -> None:
    """Write an array so that it outlives a loss of power: the checkpoint that is taken next relies on it."""
    with path.open("wb") as file:
        np.save(file, records, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
