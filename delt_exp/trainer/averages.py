"""Keeps a mean of the weights during a training run; a Lightning callback."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from delt_exp.trainer.fsdp import part_of
from delt_exp.trainer.job import Averaging
from delt_exp.trainer.proof.fingerprint import local

KEY = "averages"  # of a checkpoint


class Averages(pl.Callback):
    """Holds the mean of all trained parameters in float32, beside them on their device, each shard with its own.

    It changes nothing in the training run. Of adapters, A and B are averaged, not their product.
    whole: after training, the mean by the names of the module's state; on rank 0 alone.
    """

    def __init__(self, averaging: Averaging, num_steps: int) -> None:
        self.averaging, self.num_steps = averaging, num_steps
        self.whole: dict[str, Tensor] = {}
        self._means: dict[str, Tensor] = {}
        self._loaded: dict[str, Tensor] = {}
        self._step = 0

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        self._loaded = checkpoint[KEY]

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._step = trainer.global_step
        for name, parameter in _trained(pl_module).items():
            mean = torch.zeros_like(parameter, dtype=torch.float32, requires_grad=False)
            self._means[name] = mean.copy_(part_of(self._loaded[name], parameter)) if self._loaded else mean
        self._loaded = {}

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        if trainer.global_step == self._step:  # still accumulating
            return
        self._step = trainer.global_step
        share = self.averaging.share(self._step, self.num_steps)
        if share:
            for name, parameter in _trained(pl_module).items():
                local(self._means[name]).lerp_(local(parameter.detach()).float(), share)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        checkpoint[KEY] = self._gathered(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        means = self._gathered(trainer)
        names = {id(parameter): name for name, parameter in _trained(pl_module).items()}
        state = pl_module.state_dict(keep_vars=True)  # which lists a tied parameter under each of its names
        self.whole = {name: means[names[id(value)]] for name, value in state.items() if means and id(value) in names}

    def _gathered(self, trainer: pl.Trainer) -> dict[str, Tensor]:
        """Return whole tensors on rank 0, nothing on the others; all ranks must call it."""
        whole = {}
        for name, mean in self._means.items():
            gathered = mean.full_tensor() if isinstance(mean, DTensor) else mean
            if trainer.is_global_zero:
                whole[name] = gathered.cpu()
        return whole


def _trained(pl_module: Any) -> dict[str, Any]:
    return {name: parameter for name, parameter in pl_module.named_parameters() if parameter.requires_grad}
