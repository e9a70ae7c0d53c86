"""`OrderAudit` for Lightning: `Trainer(callbacks=[LightningOrderAudit("audit", "network")], ...)`."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from delt_exp.certificate.audit import OrderAudit


class LightningOrderAudit(pl.Callback):
    """Notes in `folder` what enters the part `network` of the LightningModule, by its dotted attribute name."""

    def __init__(self, folder: str | Path, network: str) -> None:
        self.folder, self.network = Path(folder), network
        self.audit: OrderAudit | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.audit = OrderAudit(
            self.folder,
            pl_module.get_submodule(self.network),
            step=trainer.global_step,
            rank=trainer.global_rank,
            world=trainer.world_size,
        )

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if self.audit and trainer.global_step > self.audit.num_steps:
            self.audit.step()

    def on_save_checkpoint(self, *_: Any) -> None:
        if self.audit:
            self.audit.flush()

    def teardown(self, *_: Any, **__: Any) -> None:
        if self.audit:
            self.audit.close()
            self.audit = None
