"""What every step may use on the way: where results are kept, and how models are trained and run."""

from dataclasses import dataclass

from delt_exp.runtime import Runtime
from delt_exp.store.store import Store
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.trainer.settings import TrainerSettings


@dataclass(frozen=True)
class Resources:
    """One bag for store, tokenizer of the run (None where none is chosen), trainer and runtime."""

    store: Store
    tokenizer: Tokenizer | None
    trainer: TrainerSettings
    runtime: Runtime

    @property
    def run_tokenizer(self) -> Tokenizer:
        """The tokenizer, where there must be one."""
        assert self.tokenizer is not None
        return self.tokenizer
