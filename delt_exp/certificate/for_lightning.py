"""The audit as a callback of Lightning."""

from typing import Any

import pytorch_lightning as pl
from torch import nn

from delt_exp.certificate.watching import Watching


class AuditCallback(pl.Callback):
    """Watches the network from the step at which training begins or goes on."""

    def __init__(self, audit: Watching, network: nn.Module | None) -> None:
        self.audit, self.network = audit, network
        self._step = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self._step = trainer.global_step
        found = self.network
        if found is None:
            inside = (part for part in pl_module.modules() if hasattr(part, "get_input_embeddings"))
            found = next(inside, pl_module)
        self.audit.watch(found, self._step)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        if trainer.global_step != self._step:
            self._step = trainer.global_step
            self.audit.step()

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: Any) -> None:
        self.audit.flush()

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        self.audit.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        self.audit.close()
