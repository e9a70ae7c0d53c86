"""What training minimises: one object that training, evaluation and per-sample gradients call.

B samples of a batch, T positions.
"""

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from delt_exp.config.fields import settings
from delt_exp.corpus.tokens import IGNORED
from delt_exp.model.batch import Batch

if TYPE_CHECKING:
    from torch import Tensor


class Objective(Protocol):
    """The loss of a batch, sample by sample. Fields of an implementation are the keys of its YAML file.

    Implementations compute it from `model.next_token.next_token_losses`, where the proof of order reads along.
    """

    VERSION: ClassVar[int]

    @property
    def rows_per_sample(self) -> int:
        """How many neighbouring rows of a batch are one sample: 1, or 2 for pairs."""

    def losses(self, network: Any, batch: Batch) -> "Tensor":
        """Return [B] summed losses [nats] in float64, differentiable; 0 for a sample without a label."""

    def counts(self, batch: Batch) -> "Tensor":
        """Return [B] what a mean over samples divides their sum of losses by; 0 for a sample without a label."""


@settings
class CrossEntropy:
    """-log p of every label, given the tokens before it: `losses` are sums over labels, `counts` their numbers."""

    VERSION: ClassVar[int] = 1
    rows_per_sample: ClassVar[int] = 1

    def losses(self, network: Any, batch: Batch) -> "Tensor":
        from delt_exp.model.next_token import next_token_logits, next_token_losses

        losses_BT: Tensor = next_token_losses(next_token_logits(network, batch), batch["labels"])
        return losses_BT.double().sum(1)

    def counts(self, batch: Batch) -> "Tensor":
        return (batch["labels"] != IGNORED).sum(1)
