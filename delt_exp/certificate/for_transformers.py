"""The audit as a callback of `transformers.Trainer`."""

from typing import Any

from transformers import TrainerCallback

from delt_exp.certificate.watching import Watching


class AuditCallback(TrainerCallback):  # type: ignore[misc]
    """Watches the trainer's model from the step at which training begins or goes on."""

    def __init__(self, audit: Watching) -> None:
        self.audit = audit

    def on_train_begin(self, args: Any, state: Any, control: Any, *, model: Any, **kwargs: Any) -> None:
        self.audit.watch(model, state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.audit.step()
        if control.should_save:
            self.audit.flush()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.audit.close()
