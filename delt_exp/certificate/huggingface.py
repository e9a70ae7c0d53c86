"""`OrderAudit` for `transformers.Trainer`: `Trainer(..., callbacks=[TrainerOrderAudit("audit")])`."""

from pathlib import Path
from typing import Any

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from delt_exp.certificate.audit import OrderAudit


class TrainerOrderAudit(TrainerCallback):  # type: ignore[misc]  # transformers has no types for it
    """Notes in `folder` what enters the model, and where a resumed run begins."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.audit: OrderAudit | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, *, model: nn.Module, **_: Any
    ) -> None:
        self.audit = OrderAudit(
            self.folder, model, step=state.global_step, rank=args.process_index, world=args.world_size
        )

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.audit:
            self.audit.step()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.audit:
            self.audit.flush()

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.audit:
            self.audit.close()
