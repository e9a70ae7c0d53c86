"""What the callbacks of trainers ask of an audit."""

from typing import Protocol

from torch import nn


class Watching(Protocol):
    """See `OrderAudit`."""

    def watch(self, network: nn.Module, step: int = 0) -> None:
        """Begin at this optimizer step."""

    def step(self) -> None:
        """Note that the optimizer has made a step."""

    def flush(self) -> None:
        """Write what was recorded."""

    def close(self) -> None:
        """Write the rest and stop watching."""
