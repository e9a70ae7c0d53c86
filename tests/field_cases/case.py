"""One input from a public bug report, and what its user expects."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# A run that reads, orders and trains a little; a case overrides what it is about.
QUICK = (
    "scorer=length",
    "orderer=identity",
    "selector=all",
    "eval_dataset=none",
    "training.epochs=null",
    "training.max_tokens=2048",
    "model.context_tokens=32",
    "model.batch_items=4",
    "train_dataset=jsonl",
    "train_dataset.path=F/plain.jsonl",
)


@dataclass(frozen=True)
class Case:
    """`F/` in an override stands for the folder of the field cases.

    name: its number there and a few words. fails: it ends in one message and status 1; else it runs to its end.
    says: what the message, or the output of the run, contains. holds: asserts on the record of the run.
    """

    name: str
    overrides: tuple[str, ...]
    fails: bool = False
    says: tuple[str, ...] = ()
    holds: Callable[[dict[str, Any]], None] = lambda record: None
