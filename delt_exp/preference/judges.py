"""What a causal LM says of preferences; the reference is the network that a training run began with.

D pairs, R = 2 D rows (chosen, rejected, chosen ...), T positions, N of them all with a label, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from delt_exp.corpus.pairs import PairBatch
from delt_exp.corpus.tokens import IGNORED
from delt_exp.model.batch import Batch
from delt_exp.model.objective import CrossEntropy
from delt_exp.model.recipe import Network
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.tokenizer.base import Tokenizer

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class ReferenceJudge:
    """[D, 2] summed log probabilities of the chosen and the rejected answer under a network without training.

    precision: that of the training run, because what it is compared with is computed so.
    """

    width: ClassVar[int] = 2
    dtype: ClassVar[str] = "float64"
    network: Network
    tokenizer: Tokenizer
    seed: int
    precision: str
    context_tokens: int

    def open(self, device: str) -> Callable[[PairBatch], NDArray[Any]]:
        import torch

        from delt_exp.model.next_token import only_labels

        network = self.network.make(self.tokenizer, self.seed).eval().to(device)

        def judgement(pairs: PairBatch) -> NDArray[Any]:
            batch = _tensors(pairs, device)
            with torch.inference_mode(), _autocast(device, self.precision), only_labels(network, batch["labels"]):
                losses_R = CrossEntropy().losses(network, batch)
            return np.asarray(-losses_R.cpu().numpy()).reshape(-1, 2)

        return judgement


@dataclass(frozen=True)
class PreferenceJudge:
    """[D, 6]: what the model in the folder `name` says of the chosen answer of each pair, then of the rejected one.

    Three numbers of each, in nats: its log probability, that under the reference, and the sum over its positions of
    KL(model || reference) of the next token.
    """

    width: ClassVar[int] = 6
    dtype: ClassVar[str] = "float64"
    name: str
    reference: ReferenceJudge

    @property
    def context_tokens(self) -> int:
        return self.reference.context_tokens

    def open(self, device: str) -> Callable[[PairBatch], NDArray[Any]]:
        import torch

        start = self.reference
        networks = load_causal_lm(self.name), start.network.make(start.tokenizer, start.seed).eval()
        model, reference = (network.to(device) for network in networks)

        def judgement(pairs: PairBatch) -> NDArray[Any]:
            with torch.inference_mode():
                numbers_R3 = compared(model, reference, _tensors(pairs, device))
            return np.asarray(numbers_R3.cpu().numpy()).reshape(-1, 6)

        return judgement


def compared(model: Any, reference: Any, batch: Batch) -> "Tensor":
    """Return [R, 3] summed over labels: log p under both networks, and KL(model || reference) of the next token."""
    import torch

    from delt_exp.model.next_token import label_logits

    logits = [label_logits(network, batch).float() for network in (model, reference)]
    shared = min(of_network.shape[-1] for of_network in logits)  # one may have rows for padding, which nobody predicts
    log_p_NV, log_q_NV = (of_network[:, :shared].log_softmax(-1) for of_network in logits)
    is_label_RT = batch["labels"] != IGNORED
    label_N1, row_N = batch["labels"][is_label_RT][:, None], is_label_RT.nonzero()[:, 0]
    of_label = [log_NV.gather(1, label_N1)[:, 0] for log_NV in (log_p_NV, log_q_NV)]
    kl_N = (log_p_NV.exp() * (log_p_NV - log_q_NV)).sum(-1)
    numbers_N3 = torch.stack([*of_label, kl_N], 1).double()
    return numbers_N3.new_zeros(len(is_label_RT), 3).index_add(0, row_N, numbers_N3)


def _tensors(pairs: PairBatch, device: str) -> Batch:
    import torch

    arrays = {"input_ids": pairs.ids_RT, "labels": pairs.labels_RT}
    return {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}


def _autocast(device: str, precision: str) -> "torch.autocast":
    import torch

    dtype = torch.float16 if precision == "16-mixed" else torch.bfloat16
    return torch.autocast(torch.device(device).type, dtype, enabled=precision != "32-true")
