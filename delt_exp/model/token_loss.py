"""Loss of every document under a causal LM: the number that perplexity scores and evaluation are made of.

A document is read after the begin token of its tokenizer. One longer than the context is read in consecutive
windows that do not overlap, so that every token of its text is predicted exactly once; a prompt, and what no assistant
wrote, is only read.
W windows of a batch.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from delt_exp.corpus.windows import Reads
from delt_exp.model.batch import Batch
from delt_exp.model.causal_judge import CausalJudge
from delt_exp.model.objective import CrossEntropy

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TokenLossJudge(CausalJudge):
    """Sum of the losses of a document's text tokens [nats]; divided by `Tokens.num_predicted` it is the mean loss."""

    READS: ClassVar[Reads] = "text"
    dtype: ClassVar[str] = "float64"

    def numbers(self, network: Any, batch: Batch) -> "Tensor":
        import torch

        from delt_exp.model.next_token import only_labels

        with torch.inference_mode(), only_labels(network, batch["labels"]):
            return CrossEntropy().losses(network, batch)
