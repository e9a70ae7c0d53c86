"""Loss of every document under a causal LM: the number that perplexity scores and evaluation are made of.

A document is read after the begin token of its tokenizer. One longer than the context is read in consecutive
windows that do not overlap, so that every token of its text is predicted exactly once; a prompt, and what no assistant
wrote, is only read.
W windows of a batch, T positions, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.tokens import IGNORED
from delt_exp.corpus.windows import WindowBatch, Windowing


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
    from torch.nn.functional import cross_entropy

    def judgement(batch: WindowBatch) -> NDArray[np.float64]:
        ids_WT, labels_WT = (torch.from_numpy(a).to(network.device) for a in (batch.ids_WT, batch.labels_WT))
        with torch.inference_mode():
            logits_WTV = network(input_ids=ids_WT, use_cache=False).logits
            losses_WT = cross_entropy(
                logits_WTV.float().flatten(0, 1), labels_WT.flatten(), ignore_index=IGNORED, reduction="none"
            ).view(labels_WT.shape)
            return np.asarray(losses_WT.double().sum(1).cpu().numpy())

    return judgement
