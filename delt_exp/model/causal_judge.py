"""The base of judgements that a causal LM makes of windows of documents, one number each. W windows of a batch."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.windows import Reads, WindowBatch, Windowing
from delt_exp.model.batch import Batch
from delt_exp.pretrained.loading import load_causal_lm

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class CausalJudge(ABC):
    """Reads documents with the model `name` (a folder or Hub name, with `revision`), in evaluation mode and float32.

    READS: which positions, see `Windowing`.
    """

    READS: ClassVar[Reads]
    dtype: ClassVar[str]
    width: ClassVar[int] = 1
    name: str
    revision: str | None
    context_tokens: int

    @property
    def windowing(self) -> Windowing:
        return Windowing(self.READS, self.context_tokens)

    @abstractmethod
    def numbers(self, network: Any, batch: Batch) -> "Tensor":
        """Return [W], the number of each window."""

    def open(self, device: str) -> Callable[[WindowBatch], NDArray[Any]]:
        """Load the model to `device`; return the function from a batch to [W]."""

        return self.reading(load_causal_lm(self.name, self.revision).to(device))

    def reading(self, network: Any) -> Callable[[WindowBatch], NDArray[Any]]:
        """Return the function from a batch to [W] under a network in memory."""
        import torch

        def judgement(windows: WindowBatch) -> NDArray[Any]:
            arrays = {"input_ids": windows.ids_WT, "labels": windows.labels_WT}
            batch = {key: torch.from_numpy(array).to(network.device) for key, array in arrays.items()}
            return np.asarray(self.numbers(network, batch).cpu().numpy())

        return judgement
