"""What `OrderAudit` adds to a training step: its own seconds, and steps with it against steps without."""

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from benchmarks.fixtures import config
from benchmarks.table import Row, alternate, median_ratio, spread
from delt_exp.certificate import OrderAudit

BLOCK_STEPS, BATCH_ITEMS, CONTEXT_TOKENS = 10, 8, 128
VOCABULARY = 4096


def measure(quick: bool) -> list[Row]:
    """Return the share of the audit in a step of `model=tiny` on a CPU."""
    repeats = 3 if quick else 30
    network = _network()
    with TemporaryDirectory() as folder:
        audit = _Timed(Path(folder))
        steps = _Steps(network)
        bare, watched = alternate(repeats, steps.block, lambda: steps.block(audit))
    share = 100 * audit.seconds / sum(watched)
    how = f"{BATCH_ITEMS} x {CONTEXT_TOKENS} tokens of tiny, {torch.get_num_threads()} threads"
    return [
        Row("order audit, its own seconds", "a training step", share, "%", how, below=1.0),
        Row("steps with order audit", "the same without", median_ratio(watched, bare), "x", spread(watched, bare)),
    ]


def _network() -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    settings = dict(config("model=tiny").model.network.config)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **settings | {"vocab_size": VOCABULARY}))


class _Steps:
    """Blocks of optimizer steps of one network over random tokens."""

    def __init__(self, network: Any) -> None:
        self.network = network.train()
        self.optimizer = torch.optim.AdamW(network.parameters())
        self.ids = torch.randint(VOCABULARY, (BATCH_ITEMS, CONTEXT_TOKENS), generator=torch.Generator().manual_seed(0))

    def block(self, audit: "_Timed | None" = None) -> float:
        """Return the seconds of BLOCK_STEPS steps."""
        if audit is not None:
            audit.watch(self.network)
        started = time.perf_counter()
        for _ in range(BLOCK_STEPS):
            logits = self.network(input_ids=self.ids).logits
            cross_entropy(logits[:, :-1].flatten(0, 1), self.ids[:, 1:].flatten()).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            if audit is not None:
                audit.step()
        if audit is not None:
            audit.close()  # what a long run writes every few steps is counted in every block
        return time.perf_counter() - started


class _Timed(OrderAudit):
    """An audit that counts its own seconds."""

    seconds = 0.0

    def _enters(self, *given: Any) -> None:
        self._count(lambda: super(_Timed, self)._enters(*given))

    def step(self) -> None:
        self._count(super().step)

    def close(self) -> None:
        self._count(super().close)

    def _count(self, work: Callable[[], None]) -> None:
        started = time.perf_counter()
        work()
        self.seconds += time.perf_counter() - started
