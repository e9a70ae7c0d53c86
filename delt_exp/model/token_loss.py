"""Loss of every document under a causal LM: the number that perplexity scores and evaluation are made of.

A document is read after the begin token of its tokenizer. One longer than the context is read in consecutive
windows that do not overlap, so that every token of its text is predicted exactly once; a prompt, and what no assistant
wrote, is only read.
W windows of a batch, T positions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.windows import WindowBatch, Windowing
from delt_exp.model.objective import CrossEntropy


@dataclass(frozen=True)
class TokenLossJudge:
    """Sum of the losses of a document's text tokens [nats] under a causal LM, in evaluation mode and float32.

    Divided by `Tokens.num_predicted` it is the mean loss. name, revision: a folder or Hub name.
    """

    dtype: ClassVar[str] = "float64"
    width: ClassVar[int] = 1
    name: str
    revision: str | None
    context_tokens: int

    @property
    def windowing(self) -> Windowing:
        return Windowing("text", self.context_tokens)

    def open(self, device: str) -> Callable[[WindowBatch], NDArray[np.float64]]:
        from delt_exp.pretrained.loading import load_causal_lm

        return summed_losses(load_causal_lm(self.name, self.revision).to(device))


def summed_losses(network: Any) -> Callable[[WindowBatch], NDArray[np.float64]]:
    """Return the function from a batch to the sum of the losses of each window [W], in nats."""
    import torch

    def judgement(batch: WindowBatch) -> NDArray[np.float64]:
        arrays = {"input_ids": batch.ids_WT, "labels": batch.labels_WT}
        samples = {key: torch.from_numpy(array).to(network.device) for key, array in arrays.items()}
        with torch.inference_mode():
            return np.asarray(CrossEntropy().losses(network, samples).cpu().numpy())

    return judgement
