"""Direct preference optimisation (arXiv 2305.18290, equation 7). P pairs, R = 2 P rows of a batch."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Interval

from delt_exp.config.fields import PositiveFloat, settings
from delt_exp.corpus.tokens import IGNORED
from delt_exp.model.batch import Batch
from delt_exp.model.objective import CrossEntropy

if TYPE_CHECKING:
    from torch import Tensor


@settings
class DPO:
    """-(1 - s) log sigmoid(h) - s log sigmoid(-h) of each pair, s being `label_smoothing`.

    h = beta (r(chosen) - r(rejected)), r = log p(answer) - log p(answer) under the reference. A log probability is the
    sum over the tokens of the answer, end-of-text included, or their mean (`length`), which does not favour long
    answers. s is the share of preferences assumed to be the wrong way round. reference: `start`, the network before the
    first update, or `adapters_off`, a LoRA network without its adapters.
    """

    # The reference's log probabilities (`reference` [R] of a batch, sums) are computed once, before training: one
    # forward pass over the pairs. With the frozen network beside the trained one it would be a pass in every epoch, and
    # memory for two networks.
    VERSION: ClassVar[int] = 1
    rows_per_sample: ClassVar[int] = 2
    beta: PositiveFloat
    label_smoothing: Annotated[float, Interval(ge=0, lt=0.5)]  # from a half on, a label would mean its opposite
    length: Literal["sum", "mean"]
    reference: Literal["start", "adapters_off"]

    def margins(self, network: Any, batch: Batch) -> "Tensor":
        """Return h [P]: how much more than the reference the network prefers the chosen answer."""
        log_ratios_R = -CrossEntropy().losses(network, batch) - batch["reference"]
        if self.length == "mean":
            log_ratios_R = log_ratios_R / CrossEntropy().counts(batch).clamp(min=1)
        chosen_P, rejected_P = log_ratios_R.view(-1, 2).unbind(1)
        return self.beta * (chosen_P - rejected_P)

    def losses(self, network: Any, batch: Batch) -> "Tensor":
        """Return [P] the loss [nats] of each pair; 0 for a pair of empty rows."""
        from torch.nn.functional import logsigmoid

        h_P = self.margins(network, batch)
        losses_P = -(1 - self.label_smoothing) * logsigmoid(h_P) - self.label_smoothing * logsigmoid(-h_P)
        return losses_P * self.counts(batch)

    def counts(self, batch: Batch) -> "Tensor":
        """Return [P] 1, or 0 for a pair of empty rows."""
        return (batch["labels"] != IGNORED).any(1).view(-1, 2).all(1).long()
