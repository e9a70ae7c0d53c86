"""What stages may use on the way: where results are kept and how models are trained and run."""

from dataclasses import dataclass

from delt_exp.runtime import Runtime
from delt_exp.store.store import Store
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.trainer.settings import TrainerSettings


@dataclass(frozen=True)
class Resources:
    """What metrics may use. tokenizer: needed by metrics of tokens. store, trainer, runtime: for models on the way."""

    store: Store
    tokenizer: Tokenizer | None
    trainer: TrainerSettings
    runtime: Runtime
